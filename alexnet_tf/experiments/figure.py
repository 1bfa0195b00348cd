"""figure.png: errors against epochs, a line a variant; as figure 1 where training is compared."""

from pathlib import Path
from typing import Any

from alexnet_tf.experiments.catalogue import get_experiment
from alexnet_tf.experiments.measures import METRICS, TARGET_TRAINING_ERROR
from alexnet_tf.files import atomic_path

# Okabe and Ito: colour-blind safe.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", "-.", ":")


def draw_figure(results: dict[str, Any], path: Path) -> None:
    """Draws the histories of the counting runs.

    Args:
      results: What results.json holds.
      path: PNG file, written whole or not at all.
    """
    from matplotlib.figure import Figure

    experiment = get_experiment(results["experiment"])
    keys = ["training_top1_error"]
    if not METRICS[experiment.metrics[0]].of_training:
        keys.append("validation_top1_error")
    figure = Figure(figsize=(5.2 * len(keys), 3.8))
    panels = figure.subplots(1, len(keys), squeeze=False)[0]
    for axes, key in zip(panels, keys, strict=True):
        for number, variant in enumerate(experiment.trained()):
            lines = [
                [100 * record[key] for record in run["history"] if record[key] is not None]
                for run in results["runs"]
                if run["variant"] == variant.name and run["counts"]
            ]
            for place, line in enumerate(lines):
                axes.plot(
                    range(1, len(line) + 1),
                    line,
                    _STYLES[number % len(_STYLES)],
                    color=_COLOURS[number % len(_COLOURS)],
                    linewidth=1.2,
                    alpha=1.0 if place == 0 else 0.45,
                    label=variant.name if place == 0 else None,
                )
        kind = "training" if key.startswith("training") else results["data"]["judged_split"]
        axes.set(xlabel="epoch", ylabel=f"{kind} error (%)")
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    if "epochs_to_training_error" in experiment.metrics:
        panels[0].axhline(100 * TARGET_TRAINING_ERROR, color="grey", linewidth=0.8)
    panels[0].legend()
    figure.suptitle(f"{experiment.name} on {results['data']['name']}")
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=80, format="png")
