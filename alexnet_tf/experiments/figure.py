"""figure.png: what was measured against epochs, a line a run.

Variants that are compared have a panel for each kind of error, as in figure 1 of the paper, and one
for what each seed came to; a network that was published has one for its loss and one for its error,
in training and test.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alexnet_tf.experiments.catalog import get_experiment
from alexnet_tf.experiments.definition import Experiment
from alexnet_tf.experiments.measures import METRICS, TARGET_TRAINING_ERROR
from alexnet_tf.files import atomic_path

# Okabe and Ito: color-blind safe.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", "-.", ":")

Panel = tuple[str, dict[str, list[list[float]]]]  # title, and lines by their name in the legend


def draw_figure(results: dict[str, Any], path: Path) -> None:
    """Draws the histories of the counting runs.

    Args:
      results: What results.json holds.
      path: PNG file, written whole or not at all.
    """
    from matplotlib.figure import Figure

    experiment = get_experiment(results["experiment"])
    published = any(variant.published is not None for variant in experiment.variants)
    panels = (_learning if published else _compared)(experiment, results)
    if METRICS[experiment.metrics[0]].judges:
        panels = []  # the same networks, judged in several ways: they learnt alike
    outcomes = not published and METRICS[experiment.metrics[0]].unit != "runs"
    count = len(panels) + outcomes
    figure = Figure(figsize=(4.4 * count, 3.8), layout="constrained")
    places = figure.subplots(1, count, squeeze=False)[0]
    if outcomes:
        _draw_outcomes(places[-1], experiment, results)
    for axes, (title, lines) in zip(places, panels, strict=False):
        for name, (place, values) in _named(lines):
            axes.plot(
                range(1, len(values) + 1),
                values,
                _STYLES[place % len(_STYLES)],
                color=_COLORS[place % len(_COLORS)],
                linewidth=1.2,
                alpha=1.0 if name else 0.45,
                label=name,
            )
        if "epochs_to_training_error" in experiment.metrics:
            axes.axhline(100 * TARGET_TRAINING_ERROR, color="gray", linewidth=0.8)
        axes.set(xlabel="epoch", ylabel=title)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    if panels:
        lines, names = places[0].get_legend_handles_labels()
        fits = sum(len(name) + 8 for name in names) < 48 * count
        columns = len(names) if fits else 3
        figure.legend(lines, names, loc="outside lower center", ncols=columns)
    figure.suptitle(f"{experiment.name} on {results['data']['name']}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=80, format="png")


def _draw_outcomes(axes: Any, experiment: Experiment, results: dict[str, Any]) -> None:
    """Draws what the claim is judged by: a dot for each seed, joined, and a bar for the mean."""
    name = experiment.metrics[0]
    metric, rows = METRICS[name], results["variants"]
    scale = 100 if metric.unit == "%" else 1
    values = [
        [math.nan if v is None else scale * v for v in r["metrics"][name]["values"]] for r in rows
    ]
    axes.plot(range(len(rows)), values, color="gray", linewidth=0.8, alpha=0.5)
    for place, (row, ours) in enumerate(zip(rows, values, strict=True)):
        axes.plot([place] * len(ours), ours, "o", color=_COLORS[place % len(_COLORS)], alpha=0.7)
        mean = row["metrics"][name]["mean"]
        if mean is not None:
            axes.plot([place - 0.2, place + 0.2], [scale * mean] * 2, color="black", linewidth=2)
    title = metric.title.replace("test", results["data"]["judged_split"])
    axes.set(ylabel=f"{title} (%)" if metric.unit == "%" else title)
    axes.set_title("by seed, and the mean", fontsize="medium")
    long = max(len(row["name"]) for row in rows) * len(rows) > 42  # each has the same room
    axes.set_xticks(range(len(rows)), [row["name"] for row in rows])
    axes.tick_params("x", rotation=30 if long else 0)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right" if long else "center")
    axes.margins(x=0.2)
    axes.grid(alpha=0.3, axis="y")


def _compared(experiment: Experiment, results: dict[str, Any]) -> list[Panel]:
    """Returns the panels of several variants: training error, and the other unless it is idle."""
    kinds = {"training": "training_top1_error"}
    if not METRICS[experiment.metrics[0]].of_training:
        kinds[results["data"]["judged_split"]] = "validation_top1_error"
    return [
        (
            f"{kind} error (%)",
            {v.name: _histories(results, v.name, key, 100) for v in experiment.trained()},
        )
        for kind, key in kinds.items()
    ]


def _learning(experiment: Experiment, results: dict[str, Any]) -> list[Panel]:
    """Returns the panels of published networks: loss and error, each in training and test."""
    kinds = {"training": "training", results["data"]["judged_split"]: "validation"}
    variants = [variant.name for variant in experiment.trained()]
    return [
        (
            title,
            {
                f"{name}, {shown}" if len(variants) > 1 else shown: _histories(
                    results, name, f"{kind}_{key}", scale
                )
                for name in variants
                for shown, kind in kinds.items()
            },
        )
        for title, key, scale in (("loss", "loss", 1), ("error (%)", "top1_error", 100))
    ]


def _histories(results: dict[str, Any], variant: str, key: str, scale: float) -> list[list[float]]:
    """Returns a number of each epoch, for each of a variant's counting runs."""
    return [
        [scale * record[key] for record in run["history"] if record[key] is not None]
        for run in results["runs"]
        if run["variant"] == variant and run["counts"]
    ]


def _named(lines: dict[str, list[list[float]]]) -> Iterator[tuple[str | None, tuple[int, Any]]]:
    """Yields every line with its group's place; the first of a group has its name, too."""
    for place, (name, group) in enumerate(lines.items()):
        for number, values in enumerate(group):
            yield (name if number == 0 else None), (place, values)
