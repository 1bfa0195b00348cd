"""The result of `bench`: as JSON, as tables, as a picture."""

import dataclasses
from pathlib import Path
from typing import Any

from alexnet_tf.bench.ceiling import Ceiling
from alexnet_tf.bench.layers import LayerTime
from alexnet_tf.bench.speed import Speed
from alexnet_tf.console import Column, Console
from alexnet_tf.figures.canvas import save_figure
from alexnet_tf.system import peak_memory_bytes

_FORWARD, _BACKWARD = "#0072B2", "#D55E00"  # Okabe and Ito: color-blind safe


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """All that was measured in one run.

    Attributes:
      recipe: The network's name.
      ceilings: One a precision.
      training: Speeds of updates.
      inference: Speeds of inference.
      layers: Times per layer, of `layers_batch_size` images in `layers_precision`.
      layers_batch_size: Images.
      layers_precision: "float32", "bfloat16" or "float16".
    """

    recipe: str
    ceilings: tuple[Ceiling, ...]
    training: tuple[Speed, ...]
    inference: tuple[Speed, ...]
    layers: tuple[LayerTime, ...]
    layers_batch_size: int
    layers_precision: str

    def to_json(self) -> dict[str, Any]:
        """Returns plain values; rates in FLOP/s, memory in bytes."""
        return {**dataclasses.asdict(self), "peak_memory_bytes": peak_memory_bytes()}


def print_tables(benchmark: Benchmark, console: Console) -> None:
    """Prints the ceilings, the speeds and the layers."""

    def numbers(*titles: str) -> list[Column]:
        return [Column(title, is_number=True) for title in titles]

    ceilings = [
        [each.precision, f"{each.matrix_product / 1e9:,.0f}", f"{each.convolution / 1e9:,.0f}"]
        for each in benchmark.ceilings
    ]
    console.table(
        [Column("precision"), *numbers("matrix product", "convolution")],
        ceilings,
        title="ceiling, GFLOP/s",
    )
    console.message()
    speeds = [
        [
            kind,
            row.precision,
            str(row.batch_size),
            f"{row.images_per_second:,.1f}",
            f"{row.share_of_peak:.0%}",
        ]
        for kind, rows in (("training", benchmark.training), ("inference", benchmark.inference))
        for row in rows
    ]
    console.table(
        [Column(""), Column("precision"), *numbers("batch", "images/s", "of the ceiling")],
        speeds,
        title=benchmark.recipe,
    )
    console.message()
    layers = [
        [
            layer.name,
            f"{layer.forward_ms:.1f}",
            f"{layer.backward_ms:.1f}",
            f"{layer.gflops_per_second:,.0f}" if layer.gflops_per_second else "",
        ]
        for layer in benchmark.layers
    ]
    title = f"layers: batch {benchmark.layers_batch_size}, {benchmark.layers_precision}, ms"
    console.table(
        [Column("layer"), *numbers("forward", "backward", "GFLOP/s")], layers, title=title
    )
    memory = peak_memory_bytes()
    if memory is not None:
        console.message(f"peak memory of this process: {memory / 2**20:,.0f} MiB")


def draw_layers(benchmark: Benchmark, path: Path) -> None:
    """Draws the time of each layer: `.png`, `.pdf` or `.svg`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.32 * len(benchmark.layers) + 1.4), layout="constrained")
    axes = figure.subplots()
    names = [layer.name for layer in benchmark.layers]
    forward = [layer.forward_ms for layer in benchmark.layers]
    axes.barh(names, forward, color=_FORWARD, label="forward")
    backward = [layer.backward_ms for layer in benchmark.layers]
    axes.barh(names, backward, left=forward, color=_BACKWARD, label="backward")
    axes.invert_yaxis()
    axes.set(
        title=f"{benchmark.recipe}: batch {benchmark.layers_batch_size}, "
        f"{benchmark.layers_precision}",
        xlabel="milliseconds",
    )
    axes.legend()
    save_figure(figure, path)
