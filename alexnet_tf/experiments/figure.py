"""figure.png: learning curves, one line per run, and the metric of the claim for each seed.

Compared variants have one panel for each kind of error, as figure 1 of the paper. Published
networks have one panel for the loss and one for the error, each in training and test.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from matplotlib.axes import Axes

from alexnet_tf.experiments.claims import get_experiment
from alexnet_tf.experiments.definition import TARGET_TRAINING_ERROR, Experiment
from alexnet_tf.experiments.results import Results
from alexnet_tf.figures.canvas import LIGHT, new_figure
from alexnet_tf.files import atomic_path

_STYLES = ("-", "--", "-.", ":")

Panel = tuple[str, dict[str, list[list[float]]]]  # title, and curves by their name in the legend


def draw_figure(results: Results, path: Path) -> None:
    """Draws the learning curves of the selected runs, and writes them atomically as PNG."""
    experiment = get_experiment(results.experiment)
    is_published = any(variant.published is not None for variant in experiment.variants)
    panels = list(_panels(experiment, results, is_published))
    if experiment.metric.needs_model:  # the variants have the same runs
        panels = []
    has_outcomes = not is_published and experiment.metric.unit != "runs"
    count = len(panels) + has_outcomes
    figure = new_figure(4.4 * count, 3.8)
    all_axes = figure.subplots(1, count, squeeze=False)[0]
    if has_outcomes:
        _draw_outcomes(all_axes[-1], experiment, results)
    for axes, panel in zip(all_axes, panels, strict=False):
        _draw_curves(axes, panel)
        if "epochs_to_training_error" in experiment.metrics:
            axes.axhline(100 * TARGET_TRAINING_ERROR, color="gray", linewidth=0.8)
    if panels:
        lines, names = all_axes[0].get_legend_handles_labels()
        fits = sum(len(name) + 8 for name in names) < 48 * count
        columns = len(names) if fits else 3
        figure.legend(lines, names, loc="outside lower center", ncols=columns)
    figure.suptitle(f"{experiment.name} on {results.data.name}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=80, format="png")


def _draw_curves(axes: Axes, panel: Panel) -> None:
    """Draws the curves of a panel against epochs; the first seed's is opaque and named."""
    title, curves = panel
    for index, (name, seeds) in enumerate(curves.items()):
        for seed, values in enumerate(seeds):
            axes.plot(
                range(1, len(values) + 1),
                values,
                _STYLES[index % len(_STYLES)],
                color=LIGHT.series[index % len(LIGHT.series)],
                linewidth=1.2,
                alpha=1.0 if seed == 0 else 0.45,
                label=name if seed == 0 else None,
            )
    axes.set(xlabel="epoch", ylabel=title)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)


def _draw_outcomes(axes: Axes, experiment: Experiment, results: Results) -> None:
    """Draws the metric of the claim: a point for each seed, joined, and a bar for the mean."""
    metric, rows = experiment.metric, results.variants
    scale = 100 if metric.unit == "%" else 1
    summaries = [row.metrics[experiment.metrics[0]] for row in rows]
    values = [[math.nan if v is None else scale * v for v in each.values] for each in summaries]
    axes.plot(range(len(rows)), values, color="gray", linewidth=0.8, alpha=0.5)
    for index, (summary, points) in enumerate(zip(summaries, values, strict=True)):
        color = LIGHT.series[index % len(LIGHT.series)]
        axes.plot([index] * len(points), points, "o", color=color, alpha=0.7)
        if summary.mean is not None:
            bar = [scale * summary.mean] * 2
            axes.plot([index - 0.2, index + 0.2], bar, color="black", linewidth=2)
    title = metric.title.replace("test", results.data.evaluated_split)
    axes.set(ylabel=f"{title} (%)" if metric.unit == "%" else title)
    axes.set_title("each seed, and the mean", fontsize="medium")
    names = [row.name for row in rows]
    is_long = max(map(len, names)) * len(names) > 42  # every name has the same room
    axes.set_xticks(range(len(rows)), names)
    axes.tick_params("x", rotation=30 if is_long else 0)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right" if is_long else "center")
    axes.margins(x=0.2)
    axes.grid(alpha=0.3, axis="y")


def _panels(experiment: Experiment, results: Results, is_published: bool) -> Iterator[Panel]:
    """Yields the learning curves; the test errors only if the claim is not about training alone."""
    names = [variant.name for variant in experiment.trained_variants]
    kinds = {"training": "training", results.data.evaluated_split: "validation"}
    if is_published:
        for title, field, scale in (("loss", "loss", 1), ("error (%)", "top1_error", 100)):
            curves = {
                (f"{name}, {kind}" if len(names) > 1 else kind): _curves(
                    results, name, f"{prefix}_{field}", scale
                )
                for name in names
                for kind, prefix in kinds.items()
            }
            yield title, curves
        return
    for kind, prefix in kinds.items():
        if prefix == "training" or not experiment.metric.uses_training_set_only:
            field = f"{prefix}_top1_error"
            yield f"{kind} error (%)", {name: _curves(results, name, field, 100) for name in names}


def _curves(results: Results, variant: str, field: str, scale: float) -> list[list[float]]:
    """Returns a field of the history, multiplied by `scale`, for each selected run of a variant."""
    return [
        [scale * epoch[field] for epoch in run.history if epoch[field] is not None]
        for run in results.runs
        if run.variant == variant and run.selected
    ]
