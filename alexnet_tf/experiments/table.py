"""table.md: the claim beside what was measured, made of results.json alone. No TensorFlow."""

import statistics
from typing import Any

from alexnet_tf.experiments.catalog import get_experiment
from alexnet_tf.experiments.definition import Experiment, Pair
from alexnet_tf.experiments.measures import METRICS


def duration(seconds: float) -> str:
    """Returns 30 as "30 seconds", 754 as "13 minutes", 7500 as "2.1 hours"."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def format_value(value: float | None, unit: str) -> str:
    """Returns 0.2239 as "22.39%", 7.25 epochs as "7.2", 1 run as "yes", and None as "never"."""
    if value is None:
        return "never"
    if unit == "runs":
        return "yes" if value else "no"
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
    split = results["data"]["judged_split"]
    shown = (metric.title.replace("test", split) for metric in metrics)
    titles = ["variant", *(["rate"] if rates else []), *shown]
    lines = [
        f"**{experiment.name}.** {experiment.claim}{_source(experiment)}",
        "",
        f"| {' | '.join(titles)} |",
        "|---" * len(titles) + "|",
    ]
    for row in results["variants"]:
        cells = [row["name"], *([f"{row['learning_rate']:g}"] if rates else [])]
        for name, metric in zip(experiment.metrics, metrics, strict=True):
            cells.append(spread(row["metrics"][name], metric.unit, row["diverged"]))
        lines.append(f"| {' | '.join(cells)} |")
    found, reasons = verdict(experiment, results)
    lines += ["", " ".join([*found, *reasons, experiment.how]).strip(), ""]
    lines.append(_origin(results))
    return "\n".join(lines)


def spread(measured: dict[str, Any], unit: str, diverged: int = 0) -> str:
    """Returns the mean and, of several seeds, the least and the most: "22.1% (21.5% to 22.9%)".

    Args:
      measured: A variant's values of a metric.
      unit: The metric's.
      diverged: In how many of the seeds the loss was no number in the end.
    """
    values = measured["values"]
    have = [value for value in values if value is not None]
    if len(have) < len(values):
        never = len(values) - len(have)
        what = "diverged" if diverged == never else "never or diverged" if diverged else "never"
        missing = f"{what} in {never} of {len(values)}"
        if not have:
            return missing
        shown = ", ".join(format_value(value, unit) for value in have)
        return f"{shown}; {missing}"
    if unit == "runs":
        return f"{sum(have):.0f} of {len(have)}"
    text = format_value(measured["mean"], unit)
    if len(values) > 1:
        least, most = format_value(measured["least"], unit), format_value(measured["most"], unit)
        text += f" ({least} to {most})"
    return text


def verdict(experiment: Experiment, results: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Returns whether the claim is seen with a sentence for each comparison, and why it may not be.

    Pairs are compared seed by seed: a claim's direction is seen if it is in every seed, its size if
    the mean over the seeds is at least the paper's.
    """
    rows = {row["name"]: row["metrics"][experiment.metrics[0]] for row in results["variants"]}
    reason = [experiment.reason] if experiment.reason else []
    if results["plan"]["shortened"]:
        reason.insert(0, "The experiment was shortened.")
    if experiment.alike_within is not None:
        sentence, alike = _alike(experiment, rows)
        if alike:
            return ["The claim holds here:", sentence], []
        return ["The claim is not seen here:", sentence], reason
    if not experiment.expected:
        metric = METRICS[experiment.metrics[0]]
        published, met = _against_published(experiment, rows, metric.unit)
        if not published:
            means = {name: row["mean"] for name, row in rows.items() if row["mean"] is not None}
            if not means:
                return [f"No variant has a {metric.title} in all seeds."], []
            best = min(means, key=lambda name: means[name])
            lowest = format_value(means[best], metric.unit)
            return [f"The lowest {metric.title} on average: {best}, {lowest}."], []
        return published, ([] if met else reason)
    compared = [_compare(experiment, pair, rows) for pair in experiment.expected]
    sentences = [sentence for sentence, _, _ in compared]
    ahead = [is_ahead for _, is_ahead, _ in compared]
    if results["plan"]["seeds"] == 1:
        sentences.append("One seed decides little.")
    if all(is_enough for _, _, is_enough in compared):
        return ["The claim holds here:", *sentences], []
    if all(ahead):
        return ["The claim's direction is seen here, its size is not:", *sentences], reason
    if any(ahead):
        return ["Not all of it is seen here:", *sentences], reason
    return ["The claim is not seen here:", *sentences], reason


def _compare(experiment: Experiment, pair: Pair, rows: dict[str, Any]) -> tuple[str, bool, bool]:
    """Returns a sentence, whether the pair's better is ahead in all seeds, and by enough."""
    pairs = list(zip(rows[pair.better]["values"], rows[pair.worse]["values"], strict=True))
    wins = sum(_below(a, b) for a, b in pairs)
    losses = sum(_below(b, a) for a, b in pairs)
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    unit = " times" if experiment.ratio else " points"
    margins = [b / a if experiment.ratio else 100 * (b - a) for a, b in known]
    if not experiment.ratio and METRICS[experiment.metrics[0]].unit != "%":
        margins = []
    measured = ""
    if margins and len(pairs) not in (wins, losses):
        shown = ", ".join(f"{m:.1f}" if experiment.ratio else f"{m:+.2f}" for m in margins)
        measured = f" ({'ratios' if experiment.ratio else 'differences'} by seed: {shown}{unit})"
    elif margins:
        form = "{:.1f}" if experiment.ratio else "{:.2f}"
        lost = losses == len(pairs)
        shown_as = [1 / m if lost else m for m in margins] if experiment.ratio else list(margins)
        shown_as = [abs(m) for m in shown_as]
        mean = form.format(statistics.mean(shown_as))
        measured = f" by {mean}{unit}{_range(shown_as, form)}"
    if measured and len(known) < len(pairs):
        measured += f" in the {len(known)} where both have a number"
    of_paper = unit.removesuffix("s") if pair.paper == 1 else unit
    more = "more than " if pair.more else ""
    paper = "" if pair.paper is None else f"; in the paper by {more}{pair.paper:g}{of_paper}"
    if losses == len(pairs):
        opposite = paper.replace(" by ", " ahead by ")
        sentence = f"{pair.better} behind {pair.worse} in {_seeds(pairs)}{measured}{opposite}."
    else:
        where = _seeds(pairs) if wins == len(pairs) else f"{wins} of {len(pairs)} seeds"
        sentence = f"{pair.better} ahead of {pair.worse} in {where}{measured}{paper}."
    is_ahead = wins == len(pairs)
    # A seed in which the other never got there is no number to compare, but no less.
    far = pair.paper is None or not margins or round(statistics.mean(margins), 2) >= pair.paper
    return sentence, is_ahead, is_ahead and far


def _alike(experiment: Experiment, rows: dict[str, Any]) -> tuple[str, bool]:
    """Returns a sentence on how far two variants' means lie apart, and whether that is alike."""
    within = experiment.alike_within or 0.0
    means = {name: row["mean"] for name, row in rows.items()}
    if None in means.values():
        return "Not all runs have a number.", False
    best, last = sorted(means, key=lambda name: means[name])
    pairs = list(zip(rows[best]["values"], rows[last]["values"], strict=True))
    wins = sum(_below(a, b) for a, b in pairs)
    apart = 100 * (means[last] - means[best])
    where = _seeds(pairs) if wins == len(pairs) else f"{wins} of {len(pairs)} seeds"
    sentence = f"{best} ahead of {last} in {where}, by {apart:.2f} points on average; "
    if not experiment.expected:
        return sentence + f"up to {within:g} counts as alike.", apart <= within
    behind = experiment.expected[0].worse
    alike = apart <= within or behind == best
    return sentence + f"{behind} may be up to {within:g} behind.", alike


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
        where = "" if len(values) == 1 else f" in {good or 'any'} of {len(values)} seeds"
        outcome = "met or beaten" if good else "not met"
        of = f" for {variant.name}" if len(rows) > 1 else ""
        numbers = f"To be met{of}: {format_value(variant.published, unit)}, here "
        numbers += format_value(rows[variant.name]["mean"], unit)
        sentences.append(f"{numbers}: {outcome}{where}.")
    return sentences, met


def _below(a: float | None, b: float | None) -> bool:
    """Returns whether `a` is less; None is never, more than all."""
    return a is not None and (b is None or a < b)


def _seeds(pairs: list[Any]) -> str:
    return "the one seed" if len(pairs) == 1 else f"all {len(pairs)} seeds"


def _range(values: list[float], form: str) -> str:
    least, most = form.format(min(values)), form.format(max(values))
    return "" if least == most else f" ({least} to {most})"


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
        f"{data['train_examples']:,} training and {data['judged_examples']:,} "
        f"{data['judged_split']} images of {data['name']}, at most {epochs} epochs, {seeds}, "
        f"{results['precision']}, commit {results['commit']}, {duration(results['seconds'])} on "
        f"{results['machine']}: "
        f"`{results['command']}`"
    )
    return f"{plan['shortened']} {text}".strip()
