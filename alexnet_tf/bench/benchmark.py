"""`bench`: a complete benchmark, as JSON, tables and a figure."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet_tf.bench.measure import (
    Ceiling,
    LayerTime,
    Speed,
    measure_ceiling,
    measure_inference,
    measure_layers,
    measure_training,
)
from alexnet_tf.console import Column, Console, ProgressReporter
from alexnet_tf.figures.canvas import save_figure
from alexnet_tf.settings import Recipe
from alexnet_tf.system import peak_memory_bytes

_FORWARD, _BACKWARD = "#0072B2", "#D55E00"  # Okabe and Ito: color-blind safe


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """The results of one benchmark of a recipe; `ceilings` has one per precision."""

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


def run_benchmark(
    recipe: Recipe, batch_sizes: Sequence[int], precision: str, rounds: int, kernels: str = "xla"
) -> Benchmark:
    """Measures the ceiling, training, inference and the layers; progress goes to stderr.

    Args:
      recipe: The network.
      batch_sizes: For training and inference; layers are measured with the largest.
      precision: If not "float32", float32 is measured with the largest batch, too.
      rounds: Of each measurement.
      kernels: Of training: "native", which is compared with "xla" at the largest batch, or "xla".
    """
    largest = max(batch_sizes)
    cases = [(precision, size) for size in batch_sizes]
    if precision != "float32":
        cases.append(("float32", largest))
    precisions = list(dict.fromkeys(each for each, _ in cases))
    trainings = [(*case, kernels) for case in cases]
    if kernels == "native":
        trainings.append((precision, largest, "xla"))
    count = len(precisions) + len(trainings) + len(cases) + 1
    done = 0
    with ProgressReporter().progress("ceiling", count, unit="measurements") as progress:
        ceilings = {}
        for each in precisions:
            ceilings[each] = measure_ceiling(each, rounds)
            progress.update(done := done + 1)
        training, inference = [], []
        for each, size, with_kernels in trainings:
            progress.update(done, description=f"training, {each}, batch {size}")
            rate = ceilings[each].rate
            training.append(measure_training(recipe, each, size, rounds, rate, with_kernels))
            progress.update(done := done + 1)
        for each, size in cases:
            progress.update(done, description=f"inference, {each}, batch {size}")
            inference.append(measure_inference(recipe, each, size, rounds, ceilings[each].rate))
            progress.update(done := done + 1)
        progress.update(done, description="layers")
        layers = measure_layers(recipe, precision, largest, kernels=kernels)
    return Benchmark(
        recipe=recipe.name,
        ceilings=tuple(ceilings.values()),
        training=tuple(training),
        inference=tuple(inference),
        layers=tuple(layers),
        layers_batch_size=largest,
        layers_precision=precision,
    )


def print_tables(benchmark: Benchmark, console: Console) -> None:
    """Prints the ceilings, the speeds and the layers."""

    def table(title: str, texts: list[str], numbers: list[str], rows: list[list[str]]) -> None:
        columns = [*map(Column, texts), *(Column(name, is_number=True) for name in numbers)]
        console.table(columns, rows, title=title)

    table(
        "ceiling, GFLOP/s",
        ["precision"],
        ["matrix product", "convolution"],
        [
            [each.precision, f"{each.matrix_product / 1e9:,.0f}", f"{each.convolution / 1e9:,.0f}"]
            for each in benchmark.ceilings
        ],
    )
    console.message()
    speeds = [(f"training, {row.kernels} kernels", row) for row in benchmark.training]
    speeds += [("inference", row) for row in benchmark.inference]
    table(
        benchmark.recipe,
        ["", "precision"],
        ["batch", "images/s", "of the ceiling"],
        [
            [
                kind,
                row.precision,
                str(row.batch_size),
                f"{row.images_per_second:,.1f}",
                f"{row.fraction_of_ceiling:.0%}",
            ]
            for kind, row in speeds
        ],
    )
    console.message()
    table(
        f"layers: batch {benchmark.layers_batch_size}, {benchmark.layers_precision}, ms",
        ["layer"],
        ["forward", "backward", "GFLOP/s"],
        [
            [
                layer.name,
                f"{layer.forward_ms:.1f}",
                f"{layer.backward_ms:.1f}",
                f"{layer.gflops_per_second:,.0f}" if layer.gflops_per_second else "",
            ]
            for layer in benchmark.layers
        ],
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
    backward = [layer.backward_ms for layer in benchmark.layers]
    axes.barh(names, forward, color=_FORWARD, label="forward")
    axes.barh(names, backward, left=forward, color=_BACKWARD, label="backward")
    axes.invert_yaxis()
    case = f"batch {benchmark.layers_batch_size}, {benchmark.layers_precision}"
    axes.set(title=f"{benchmark.recipe}: {case}", xlabel="milliseconds")
    axes.legend()
    save_figure(figure, path)
