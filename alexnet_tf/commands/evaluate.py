"""The `evaluate` command."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from alexnet_tf.commands.options import (
    DataSetName,
    crops_option,
    csv_option,
    csv_target,
    data_dir_option,
    echo_json,
    flag,
    json_option,
    model_option,
    option,
    report_notes,
    run_option,
    split_option,
)
from alexnet_tf.runs import open_model, runs_of
from alexnet_tf.system import import_tensorflow

if TYPE_CHECKING:
    from alexnet_tf.console import Console
    from alexnet_tf.evaluation.ensemble import EnsembleEvaluation
    from alexnet_tf.evaluation.metrics import ClassReport, Errors, Evaluation

_SHOWN_CLASSES = 20

_EXAMPLES = """\b
Examples:
  python cli.py evaluate
  python cli.py evaluate --ten-crop --split test
  python cli.py evaluate --run saved_models/first --json
  python cli.py evaluate --run saved_models/first --run saved_models/second
  python cli.py evaluate --per-class --csv predictions.csv
  python cli.py evaluate --model caffe.keras --dataset imagenet2012
  python cli.py evaluate --model saved_models/serving/alexnet-int8.tflite --dataset photos/"""


@click.command(epilog=_EXAMPLES, short_help="Evaluate a trained network: top-1 and top-5 error.")
@run_option(
    "A run folder. Several, or a folder of train --seeds: each network alone, and the ensemble that"
    " averages their predictions.",
    multiple=True,
)
@model_option(
    "A .keras, .tflite or .onnx file or a SavedModel's folder, instead of a run or in addition to "
    "it; without a run it needs --dataset.",
    example="saved_models/serving/alexnet.tflite",
    multiple=True,
)
@option(
    "--dataset",
    "What to evaluate on: a TFDS name or a folder, with the model's classes.",
    default="the run's own",
    example="photos/",
    type=DataSetName(),
)
@data_dir_option()
@split_option()
@crops_option()
@flag(
    "--ten-crop",
    "Also average over ten crops: corners, center, and their horizontal flips.",
)
@flag(
    "--per-class",
    "Also print precision, recall and F1 of the classes, worst first, and the calibration error: "
    "of ten crops with --ten-crop, of the ensemble for several networks. --json has all classes "
    "and the confusion counts.",
)
@csv_option(
    "Write a row per image, with the predictions that --per-class is about: image, label, "
    "prediction, the five most probable classes with their probabilities. - is stdout."
)
@json_option()
def command(
    run: Sequence[str], model: Sequence[str], csv: str | None, as_json: bool, **options: Any
) -> None:
    """Evaluate a trained network: top-1 and top-5 error, with the counts behind them.

    Without options: the newest run under saved_models/ on its own validation split.
    """
    sources = [open_model(run=each) for folder in run for each in runs_of(folder)]
    sources += [open_model(model=path) for path in model]
    sources = sources or [open_model()]
    members = [source.run or source.path for source in sources]
    csv_to = csv_target(csv, as_json)
    import_tensorflow()
    from alexnet_tf.console import Console, ProgressReporter
    from alexnet_tf.evaluation.ensemble import EnsembleEvaluation, evaluate_ensemble
    from alexnet_tf.evaluation.evaluate import evaluate

    result: EnsembleEvaluation | Evaluation
    reporter, console = ProgressReporter(), Console(stderr=csv == "-")
    for source in sources:
        report_notes(source, reporter)
    with reporter.progress("evaluating") as on_progress:
        options.update(csv=csv_to, on_progress=on_progress)
        if len(members) > 1:
            result = evaluate_ensemble(members, **options)
            overall = result.ensemble
        else:
            result = overall = evaluate(model=members[0], **options)
    for name, reason in overall.skipped:
        reporter.warn(f"skipped {name}: {reason}")
    if as_json:
        echo_json(result.to_json())
        return
    console.message(f"{overall.model} on {overall.dataset}, {overall.split} images")
    for number, evaluation in enumerate(getattr(result, "members", ()), 1):
        console.message(f"  {number}: {evaluation.model}")
    console.message()
    if isinstance(result, EnsembleEvaluation):
        _print_ensemble(result, console)
    else:
        _print_errors(result, console)
    if overall.per_class is not None:
        console.message()
        _print_classes(overall.per_class, console)


def _print_ensemble(found: "EnsembleEvaluation", console: "Console") -> None:
    """Prints a table per kind of crop: each network, the ensemble, and its gain."""
    from alexnet_tf.console import Column

    for crop in found.crops:
        members = [(str(n), getattr(each, crop)) for n, each in enumerate(found.members, 1)]
        rows: list[Sequence[str] | None] = [_row(name, errors) for name, errors in members]
        rows += [None, _row(found.ensemble.model, getattr(found.ensemble, crop))]
        top1, top5 = found.gain(crop, "top1_error"), found.gain(crop, "top5_error")
        rows.append(_gains("gain over best", top1.over_best, top5.over_best))
        rows.append(_gains("gain over mean", top1.over_mean, top5.over_mean))
        title = {"center_crop": "center crop", "ten_crop": "ten crops"}[crop]
        numbers = [Column(name, is_number=True) for name in ("top-1 error", "top-5 error", "loss")]
        if not found.ensemble.has_top5:
            del numbers[1]
            rows = [row and [*row[:2], *row[3:]] for row in rows]
        console.table([title, *numbers], rows)


def _row(name: str, errors: "Errors") -> list[str]:
    """Returns the row of one network."""
    return [
        name,
        _fraction(errors.top1_errors, errors.examples),
        _fraction(errors.top5_errors, errors.examples),
        f"{errors.loss:.4f}",
    ]


def _gains(name: str, top1: float, top5: float) -> list[str]:
    """Returns a row of error reductions."""
    return [name, f"{100 * top1:+.2f} points", f"{100 * top5:+.2f} points", ""]


def _print_errors(evaluation: "Evaluation", console: "Console") -> None:
    """Prints the errors of one network: center crop beside ten crops."""
    from alexnet_tf.console import Column

    kinds = [("center crop", evaluation.center_crop), ("ten crops", evaluation.ten_crop)]
    found = [(name, errors) for name, errors in kinds if errors is not None]
    errors = [each for _, each in found]
    rows = [
        ["top-1 error", *(_fraction(e.top1_errors, e.examples) for e in errors)],
        ["  95% interval", *(_interval(*e.top1_interval) for e in errors)],
        ["top-5 error", *(_fraction(e.top5_errors, e.examples) for e in errors)],
        ["  95% interval", *(_interval(*e.top5_interval) for e in errors)],
        ["loss", *(f"{e.loss:.4f}" for e in errors)],
    ]
    if not evaluation.has_top5:
        del rows[2:4]
    console.table(["", *(Column(name, is_number=True) for name, _ in found)], rows)


def _print_classes(report: "ClassReport", console: "Console") -> None:
    """Prints the metrics of the classes with the lowest F1, the averages and the calibration."""
    from alexnet_tf.console import Column

    classes = [(name, metrics) for _, name, metrics in report.classes[:_SHOWN_CLASSES]]
    averages = [("mean", report.macro_average), ("weighted mean", report.weighted_average)]
    rows = [
        None
        if row is None
        else [row[0], *(f"{value:.4f}" for value in row[1][:3]), f"{row[1].support:,}"]
        for row in (*classes, None, *averages)
    ]
    titles = ("precision", "recall", "F1", "images")
    console.table(["class", *(Column(title, is_number=True) for title in titles)], rows)
    hidden = len(report.classes) - len(classes)
    if hidden:
        noun, verb = ("class", "is") if hidden == 1 else ("classes", "are")
        console.message(f"{hidden:,} {noun} with a higher F1 {verb} not shown (all: --json)")
    console.message(f"expected calibration error: {report.calibration_error:.4f}")


def _fraction(errors: int, examples: int) -> str:
    """Returns an error as a percentage with its counts."""
    return f"{100 * errors / examples:.2f}% ({errors:,} of {examples:,})"


def _interval(low: float, high: float) -> str:
    """Returns an interval in percent."""
    return f"{low:.2%} to {high:.2%}"
