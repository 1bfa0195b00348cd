"""table.md: the claim beside what was measured, made of results.json alone. No TensorFlow."""

import statistics
from typing import Any

from alexnet_tf.experiments.catalogue import get_experiment
from alexnet_tf.experiments.definition import Experiment
from alexnet_tf.experiments.measures import METRICS


def format_value(value: float | None, unit: str) -> str:
    """Returns 0.2239 as "22.39%", 7.25 epochs as "7.2", and None as "never"."""
    if value is None:
        return "never"
    if unit == "%":
        return f"{value:.2%}"
    return f"{value:.1f}" if unit == "epochs" else f"{value:.3f}"


def table(results: dict[str, Any]) -> str:
    """Returns the claim, what was measured with its spread, and what to make of it, as Markdown.

    Args:
      results: What results.json holds.
    """
    experiment = get_experiment(results["experiment"])
    metrics = [METRICS[name] for name in experiment.metrics]
    rates = bool(experiment.rates)
    titles = ["variant", *(["rate"] if rates else []), *(metric.title for metric in metrics)]
    lines = [
        f"**{experiment.name}.** {experiment.claim}{_source(experiment)}",
        "",
        f"| {' | '.join(titles)} |",
        "|---" * len(titles) + "|",
    ]
    for row in results["variants"]:
        cells = [row["name"], *([f"{row['learning_rate']:g}"] if rates else [])]
        for name, metric in zip(experiment.metrics, metrics, strict=True):
            cells.append(spread(row["metrics"][name], metric.unit))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", " ".join([*verdicts(experiment, results), experiment.how]).strip(), ""]
    lines.append(_origin(results))
    return "\n".join(lines)


def spread(measured: dict[str, Any], unit: str) -> str:
    """Returns the mean and, of several seeds, the least and the most: "22.1% (21.5% to 22.9%)"."""
    values = measured["values"]
    have = [value for value in values if value is not None]
    if len(have) < len(values):
        missing = f"never in {len(values) - len(have)} of {len(values)}"
        if not have:
            return missing
        shown = ", ".join(format_value(value, unit) for value in have)
        return f"{shown}; {missing}"
    text = format_value(measured["mean"], unit)
    if len(values) > 1:
        least, most = format_value(measured["least"], unit), format_value(measured["most"], unit)
        text += f" ({least} to {most})"
    return text


def verdicts(experiment: Experiment, results: dict[str, Any]) -> list[str]:
    """Returns a sentence for each pair the claim speaks of, and why it may not hold if it does not.

    Pairs are compared seed by seed: a claim holds if it does so in every seed.
    """
    metric = METRICS[experiment.metrics[0]]
    rows = {row["name"]: row["metrics"][experiment.metrics[0]] for row in results["variants"]}
    sentences, holds = [], True
    for better, worse in experiment.expected:
        pairs = list(zip(rows[better]["values"], rows[worse]["values"], strict=True))
        wins = sum(_below(a, b) for a, b in pairs)
        losses = sum(_below(b, a) for a, b in pairs)
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        measured = ""
        if known and experiment.ratio:
            ratios = [b / a for a, b in known]
            measured = f" by {statistics.mean(ratios):.1f} times{_range(ratios, '{:.1f}')}"
        elif known and metric.unit == "%":
            points = [100 * (b - a) for a, b in known]
            mean = statistics.mean(points)
            measured = f" by {abs(mean):.2f} points{_range([abs(p) for p in points], '{:.2f}')}"
            if len(pairs) not in (wins, losses):
                shown = ", ".join(f"{p:+.2f}" for p in points)
                measured = f" (differences by seed in points: {shown})"
        if wins == len(pairs):
            sentences.append(f"{better} is ahead of {worse} in {_seeds(pairs)}{measured}.")
        elif losses == len(pairs):
            holds = False
            sentences.append(f"{better} is behind {worse} in {_seeds(pairs)}{measured}.")
        else:
            holds = False
            sentences.append(
                f"{better} is ahead of {worse} in {wins} of {len(pairs)} seeds{measured}."
            )
    published, met = _against_published(experiment, rows, metric.unit)
    if not experiment.expected:
        return published if met else [*published, experiment.reason]
    if holds:
        return [
            "The claim holds here:" if len(sentences) == 1 else "The claims hold here:",
            *sentences,
        ]
    verdict = "Not all of it is seen here:" if len(sentences) > 1 else "The claim is not seen here:"
    return [verdict, *sentences, experiment.reason]


def _against_published(
    experiment: Experiment, rows: dict[str, Any], unit: str
) -> tuple[list[str], bool]:
    """Returns a sentence for each variant that has a published number, and whether all meet it."""
    sentences, met = [], True
    for variant in experiment.variants:
        if variant.published is None:
            continue
        values = rows[variant.name]["values"]
        # As exactly as it was published, which is to four digits at most.
        good = sum(
            value is not None and round(value - variant.published, 4) <= 0 for value in values
        )
        met = met and good == len(values)
        where = "" if len(values) == 1 else f" in {good} of {len(values)} seeds"
        verdict = "met or beaten" if good else "not met"
        sentences.append(f"Published: {format_value(variant.published, unit)}; {verdict}{where}.")
    return sentences, met


def _below(a: float | None, b: float | None) -> bool:
    """Returns whether `a` is less; None is never, more than all."""
    return a is not None and (b is None or a < b)


def _seeds(pairs: list[Any]) -> str:
    return "the one seed" if len(pairs) == 1 else f"all {len(pairs)} seeds"


def _range(values: list[float], form: str) -> str:
    if len(values) == 1:
        return ""
    return f" ({form.format(min(values))} to {form.format(max(values))})"


def _source(experiment: Experiment) -> str:
    if not experiment.section:
        return ""
    number = f": {experiment.paper}" if experiment.paper else ""
    return f" (Section {experiment.section}{number}.)"


def _origin(results: dict[str, Any]) -> str:
    """Returns where the numbers come from: data, seeds, precision, commit, time, command."""
    data, plan = results["data"], results["plan"]
    epochs = max(len(run["history"]) for run in results["runs"])
    seeds = "seed 0" if plan["seeds"] == 1 else f"seeds 0 to {plan['seeds'] - 1}"
    text = (
        f"{data['train_examples']:,} training and {data['judged_examples']:,} test images of "
        f"{data['name']}, at most {epochs} epochs, {seeds}, {results['precision']}, commit "
        f"{results['commit']}, {minutes(results['seconds'])} of training on {results['machine']}: "
        f"`{results['command']}`"
    )
    return f"{plan['shortened']} {text}".strip()


def minutes(seconds: float) -> str:
    """Returns 754 as "13 minutes", 7500 as "2.1 hours"."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
