"""`bench` from beginning to end."""

from collections.abc import Sequence

from alexnet_tf.bench.ceiling import measure_ceiling
from alexnet_tf.bench.layers import measure_layers
from alexnet_tf.bench.report import Benchmark
from alexnet_tf.bench.speed import measure_inference, measure_training
from alexnet_tf.console import ProgressReporter
from alexnet_tf.settings import Recipe


def run_benchmark(
    recipe: Recipe, batch_sizes: Sequence[int], precision: str, rounds: int
) -> Benchmark:
    """Measures the ceiling, training, inference and the layers; progress goes to stderr.

    Args:
      recipe: Its network.
      batch_sizes: Of training and inference; layers are measured at the largest.
      precision: "float32", or "bfloat16", which adds the speeds of float32 at the largest batch.
      rounds: Of each.
    """
    largest = max(batch_sizes)
    cases = [(precision, size) for size in batch_sizes]
    if precision != "float32":
        cases.append(("float32", largest))
    precisions = list(dict.fromkeys(p for p, _ in cases))
    done = 0
    count = len(precisions) + 2 * len(cases) + 1
    with ProgressReporter().progress("ceiling", count, unit="measurements") as progress:
        ceilings = {}
        for each in precisions:
            ceilings[each] = measure_ceiling(each, rounds)
            progress.update(done := done + 1)
        speeds: dict[str, list] = {"training": [], "inference": []}
        for what, measure in (("training", measure_training), ("inference", measure_inference)):
            for each, size in cases:
                progress.update(done, description=f"{what}, {each}, batch {size}")
                speeds[what].append(measure(recipe, each, size, rounds, ceilings[each].rate))
                progress.update(done := done + 1)
        progress.update(done, description="layers")
        layers = measure_layers(recipe, precision, largest)
    return Benchmark(
        recipe.name,
        tuple(ceilings.values()),
        tuple(speeds["training"]),
        tuple(speeds["inference"]),
        tuple(layers),
        largest,
        precision,
    )
