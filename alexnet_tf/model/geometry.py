"""How large the maps are: the arithmetic of windows, and whether an input is large enough."""

from alexnet_tf import paper
from alexnet_tf.errors import InputError
from alexnet_tf.settings import Network

TOWERS = 2  # of the paper
_PLAIN_POOL = 2  # side and stride of pooling that does not overlap


def output_pixels(size: int, kernel_size: int, strides: int, padding: str | int) -> int:
    """Returns the outputs along one side of a convolution or a pooling; below 1: too small.

    Args:
      size: Pixels along the input's side.
      kernel_size: Pixels along the window's side.
      strides: Pixels from one window to the next.
      padding: As `GroupedConv2D` takes it.
    """
    if padding == "same":
        return -(-size // strides)
    if padding == "ceil":
        return 1 - (kernel_size - size) // strides
    margin = 2 * padding if isinstance(padding, int) else 0
    return (size + margin - kernel_size) // strides + 1


def pool_geometry(network: Network) -> tuple[int, int]:
    """Returns (size, stride) of the network's pooling in pixels."""
    if network.pooling == "overlapping":
        return paper.POOL_SIZE, paper.POOL_STRIDE
    return _PLAIN_POOL, _PLAIN_POOL


def check_size(network: Network) -> None:
    """Checks that every layer has something to look at.

    Raises:
      InputError: The input is too small; the message names the layer and the size that would do.
    """
    layer = _starved_layer(network, network.input_size)
    if layer is None:
        return
    enough = network.input_size + 1
    while _starved_layer(network, enough) is not None:
        enough += 1
    raise InputError(
        f"an input of {network.input_size} pixels is too small: nothing is left for {layer}; "
        f"{enough} pixels would do"
    )


def _starved_layer(network: Network, size: int) -> str | None:
    """Returns the first layer that has no output for an input of `size` pixels, None: all have."""
    if size < 1:
        return "conv1"
    pool_size, pool_stride = pool_geometry(network)
    for number, convolution in enumerate(network.convolutions, 1):
        size = output_pixels(
            size, convolution.kernel_size, convolution.strides, convolution.padding
        )
        if size < 1:
            return f"conv{number}"
        if "pool" in convolution.then:
            size = output_pixels(size, pool_size, pool_stride, "valid")
            if size < 1:
                return f"pool{number}"
    return None


def check_groups(network: Network) -> None:
    """Checks that every layer can be cut into its towers.

    Raises:
      InputError: The groups of a convolution do not divide its maps, before it or after it.
    """
    maps = network.channels
    towers = max(convolution.groups for convolution in network.convolutions)
    for number, convolution in enumerate(network.convolutions, 1):
        groups = convolution.groups
        for cut in (maps, convolution.filters):
            if groups < 1 or cut % groups:
                raise InputError(f"conv{number}: groups={groups} do not divide {cut} maps")
        per_tower = network.norm == "lrn" and network.lrn_per_tower and "norm" in convolution.then
        if per_tower and convolution.filters % towers:
            raise InputError(
                f"norm{number}: {towers} towers do not divide {convolution.filters} maps"
            )
        maps = convolution.filters


def check_towers(network: Network) -> None:
    """Checks that a network falls into two towers.

    Raises:
      InputError: It does not; the message says why.
    """
    groups = {convolution.groups for convolution in network.convolutions}
    if groups != {1, TOWERS}:
        raise InputError(
            "--parallelism towers needs a network in two groups, such as --recipe paper or 2012: "
            f"this one's convolutions have groups of {', '.join(map(str, sorted(groups)))}"
        )
    if network.norm == "batch":
        raise InputError("--parallelism towers does not go with --norm batch: take lrn or none")
    widths = [c.filters for c in network.convolutions] + list(network.hidden_units)
    if any(width % TOWERS for width in widths):
        raise InputError(f"--parallelism towers needs even numbers of maps and units: {widths}")
