"""`bench`: a complete benchmark, as JSON, tables and a figure."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from alexnet_tf.bench.latency import Latency, count_steps, measure_latency
from alexnet_tf.bench.measure import (
    Ceiling,
    LayerTime,
    Speed,
    ceiling_of,
    ceiling_works,
    inference_works,
    layer_works,
    speed_of,
    training_works,
)
from alexnet_tf.bench.timing import OtherLoad, Work, measure_in_turns
from alexnet_tf.console import Column, Console, ProgressReporter
from alexnet_tf.figures.canvas import save_figure
from alexnet_tf.settings import Recipe
from alexnet_tf.system import Processor, peak_memory_bytes, processor

_FORWARD, _BACKWARD = "#0072B2", "#D55E00"  # Okabe and Ito: color-blind safe
_QUIET = 0.05  # other load below this fraction of the processor is not worth a warning


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """The results of one benchmark of a recipe.

    Attributes:
      recipe: The recipe's name.
      processor: Of this machine.
      other_load: Fraction of the processor that other programs used meanwhile.
      ceilings: One per precision.
      training: Complete updates.
      inference: The compiled model.
      latency: One image, in every shipped form.
      layers: Each layer on its own.
      layers_batch_size: Batch size of `layers`.
      layers_precision: Precision of `layers`.
    """

    recipe: str
    processor: Processor
    other_load: float
    ceilings: tuple[Ceiling, ...]
    training: tuple[Speed, ...]
    inference: tuple[Speed, ...]
    latency: tuple[Latency, ...]
    layers: tuple[LayerTime, ...]
    layers_batch_size: int
    layers_precision: str

    def to_json(self) -> dict[str, Any]:
        """Returns plain values; rates in FLOP/s, memory in bytes."""
        return {**dataclasses.asdict(self), "peak_memory_bytes": peak_memory_bytes()}


def run_benchmark(
    recipe: Recipe, batch_sizes: Sequence[int], precision: str, rounds: int, kernels: str = "xla"
) -> Benchmark:
    """Measures the ceiling, training, inference, the layers and latency; progress goes to stderr.

    All but the latency take turns: the ceiling is measured between the works that are compared
    with it, and it is the best rate of any of them, so that no fraction exceeds 1.

    Args:
      recipe: The network.
      batch_sizes: For training and inference; layers are measured with the largest.
      precision: If not "float32", float32 is measured with the largest batch, too.
      rounds: Turns of each measurement.
      kernels: Of training: "native", which is compared with "xla" at the largest batch, or "xla".
    """
    largest = max(batch_sizes)
    sizes = {precision: list(batch_sizes)}
    sizes.setdefault("float32", [largest])
    load = OtherLoad()
    # First, since converting a network needs much memory, and so do all works together.
    with _steps(count_steps(precision)) as on_form:
        latency = measure_latency(recipe, precision, on_form)
    ceilings = [work for each in sizes for work in ceiling_works(each)]
    training = [w for each in sizes for w in training_works(recipe, each, sizes[each], kernels)]
    if kernels == "native":
        training += training_works(recipe, precision, [largest], "xla")
    inference = [work for each in sizes for work in inference_works(recipe, each, sizes[each])]
    layers = layer_works(recipe, precision, largest, kernels)
    works: list[Work] = [*ceilings, *training, *inference]
    works += dict.fromkeys(work for layer in layers for work in (layer.forward, layer.both))
    with _steps(len(works) * (1 + rounds)) as on_work:
        measure_in_turns(works, rounds, on_work)
    found = {each: ceiling_of(each, works) for each in sizes}
    return Benchmark(
        recipe=recipe.name,
        processor=processor(),
        other_load=load.fraction(),
        ceilings=tuple(found.values()),
        training=tuple(speed_of(work, found[work.precision].rate) for work in training),
        inference=tuple(speed_of(work, found[work.precision].rate) for work in inference),
        latency=tuple(latency),
        layers=tuple(layer.time() for layer in layers),
        layers_batch_size=largest,
        layers_precision=precision,
    )


@contextlib.contextmanager
def _steps(count: int) -> Iterator[Callable[[str], None]]:
    """Yields a function that advances a progress bar by a measurement with this name."""
    numbers = itertools.count()
    with ProgressReporter().progress("warm-up", count, unit="measurements") as progress:
        yield lambda name: progress.update(next(numbers), description=name)


def print_tables(benchmark: Benchmark, console: Console) -> None:
    """Prints the processor, the ceilings, the speeds, the latency and the layers."""

    def table(title: str, texts: list[str], numbers: list[str], rows: list[list[str]]) -> None:
        columns = [*map(Column, texts), *(Column(name, is_number=True) for name in numbers)]
        console.table(columns, rows, title=title)
        console.message()

    console.message(str(benchmark.processor))
    console.message()
    table(
        "ceiling, GFLOP/s",
        ["precision"],
        ["matrix product", "convolution", "best"],
        [
            [
                each.precision,
                *(f"{x / 1e9:,.0f}" for x in (each.matrix_product, each.convolution, each.rate)),
            ]
            for each in benchmark.ceilings
        ],
    )
    speeds = [(f"training, {row.kernels} kernels", row) for row in benchmark.training]
    speeds += [("inference", row) for row in benchmark.inference]
    table(
        benchmark.recipe,
        ["", "precision"],
        ["batch", "images/s", "slowest", "fastest", "of the ceiling"],
        [
            [
                kind,
                row.precision,
                str(row.batch_size),
                *(f"{x:,.1f}" for x in (row.images_per_second, row.slowest, row.fastest)),
                f"{row.fraction_of_ceiling:.0%}",
            ]
            for kind, row in speeds
        ],
    )
    table(
        "one image, ms",
        ["form"],
        ["median", "99th percentile"],
        [
            [each.form, _milliseconds(each.median_ms), _milliseconds(each.percentile_99_ms)]
            for each in benchmark.latency
        ],
    )
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
    for line in _notes(benchmark):
        console.message(line)


def _milliseconds(value: float | None) -> str:
    """Returns milliseconds for a table."""
    return "" if value is None else f"{value:.1f}"


def _notes(benchmark: Benchmark) -> list[str]:
    """Returns the lines below the tables: what was not measured, memory, and other load."""
    notes = [f"{each.form}: {each.reason}" for each in benchmark.latency if each.reason]
    memory = peak_memory_bytes()
    if memory is not None:
        notes.append(f"peak memory of this process: {memory / 2**20:,.0f} MiB")
    if benchmark.other_load > _QUIET:
        notes.append(
            f"warning: other programs used {benchmark.other_load:.0%} of the processor meanwhile; "
            "repeat this on an idle machine"
        )
    return notes


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
