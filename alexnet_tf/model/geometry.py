"""Output sizes of convolutions and pooling, and checks that a network fits its input."""

import dataclasses
from typing import Any

from alexnet_tf import paper
from alexnet_tf.errors import InputError
from alexnet_tf.network_settings import Network

TOWERS = 2  # the halves of the paper's network, one per GPU
_PLAIN_POOL = 2  # size and stride of pooling that does not overlap


def output_pixels(size: int, kernel_size: int, strides: int, padding: str | int) -> int:
    """Returns the number of outputs of a convolution or pooling along one axis.

    Args:
      size: Input size in pixels.
      kernel_size: Window size in pixels.
      strides: Step between windows in pixels.
      padding: As in `GroupedConv2D`.

    Returns:
      The number of outputs; below 1 if the input is too small.
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


def fit_channels(network: Network) -> Network:
    """Returns the network with a mean and a scale that fit its channels.

    For gray images, values given for RGB are averaged.

    Raises:
      InputError: There is neither one value nor one per channel.
    """
    fitted: dict[str, Any] = {}
    for name in ("mean", "scale"):
        values = getattr(network, name)
        if isinstance(values, str):
            if values != "image":
                raise InputError(f"mean must be 'image' or numbers. Received: {values!r}")
            continue
        if network.channels == 1 and len(values) == 3:
            fitted[name] = (sum(values) / 3,)
        elif len(values) not in (1, network.channels):
            raise InputError(
                f"{name} must have one value or one per channel ({network.channels}). "
                f"Received: {values}"
            )
    if network.channels == 1:
        fitted["channel_order"] = "rgb"
    return dataclasses.replace(network, **fitted)


def check_size(network: Network) -> None:
    """Checks that the input is large enough for every layer to have an output.

    Raises:
      InputError: It is too small. The message names the layer and the smallest size that fits.
    """
    layer = _first_without_output(network, network.input_size)
    if layer is None:
        return
    size = network.input_size + 1
    while _first_without_output(network, size) is not None:
        size += 1
    raise InputError(
        f"an input of {network.input_size} pixels is too small for {layer}: it must be at least "
        f"{size} pixels"
    )


def _first_without_output(network: Network, size: int) -> str | None:
    """Returns the first layer without an output for an input of `size` pixels, or None."""
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
    """Checks that the groups divide the channels.

    Raises:
      InputError: The groups of a convolution do not divide its input's channels or its filters, or
        the network's groups do not divide the channels of an LRN layer that needs them.
    """
    channels = network.channels
    network_groups = max(convolution.groups for convolution in network.convolutions)
    for number, convolution in enumerate(network.convolutions, 1):
        groups = convolution.groups
        for divided in (channels, convolution.filters):
            if groups < 1 or divided % groups:
                raise InputError(
                    f"conv{number}: groups={groups} does not divide {divided} channels"
                )
        channels = convolution.filters
        has_groups = network.norm == "lrn" and network.lrn_within_groups
        if has_groups and "norm" in convolution.then and channels % network_groups:
            raise InputError(
                f"norm{number}: groups={network_groups} does not divide {channels} channels"
            )


def check_towers(network: Network) -> None:
    """Checks that a network can be trained with one tower on each of two devices.

    Raises:
      InputError: It cannot; the message gives the reason.
    """
    groups = {convolution.groups for convolution in network.convolutions}
    if groups != {1, TOWERS}:
        raise InputError(
            "--parallelism towers needs a network in two groups, such as --recipe paper or 2012: "
            f"this one's convolutions have groups of {', '.join(map(str, sorted(groups)))}"
        )
    if network.norm == "batch":
        raise InputError(
            "--parallelism towers does not support --norm batch: use --norm lrn or none"
        )
    widths = [c.filters for c in network.convolutions] + list(network.hidden_units)
    if any(width % TOWERS for width in widths):
        raise InputError(f"--parallelism towers needs even numbers of channels and units: {widths}")
