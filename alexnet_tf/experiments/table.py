"""An experiment's results in words: Markdown for table.md, tables and paragraphs for a terminal."""

import statistics
import textwrap

from alexnet_tf.console import Column, Console
from alexnet_tf.experiments.claims import get_experiment
from alexnet_tf.experiments.definition import METRICS, Experiment, Pair
from alexnet_tf.experiments.results import Results, Summary

_RATE = "learning rate"


def format_duration(seconds: float) -> str:
    """Returns 30 as "30 seconds", 754 as "13 minutes", 7500 as "2.1 hours"."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def format_value(value: float | None, unit: str) -> str:
    """Returns 0.2239 as "22.39%", 7.25 epochs as "7.2", 1 run as "yes", None as what happened."""
    if value is None:
        return "not reached" if unit == "epochs" else "diverged"
    if unit == "runs":
        return "yes" if value else "no"
    if unit == "%":
        return f"{value:.2%}"
    return f"{value:.1f}" if unit == "epochs" else f"{value:.3f}"


def markdown(results: Results) -> str:
    """Returns the claim, a table of what was measured, and the conclusion, as Markdown."""
    claim, *rest = _paragraphs(results)
    headings, *rows = _cells(results)
    lines = [f"| {' | '.join(row)} |" for row in (headings, *rows)]
    lines.insert(1, "|---" * len(headings) + "|")
    return "\n\n".join([f"**{results.experiment}.** {claim}", "\n".join(lines), *rest])


def print_results(results: Results, console: Console) -> None:
    """Prints the same as `markdown` for a terminal, wrapped at spaces: terminals break words."""
    paragraphs = _paragraphs(results)
    claim, *rest = (
        textwrap.fill(text, console.rich.width, break_long_words=False, break_on_hyphens=False)
        for text in (f"{results.experiment}: {paragraphs[0]}", *paragraphs[1:])
    )
    headings, *rows = _cells(results)
    console.message(f"{claim}\n")
    # A number's title may wrap; other cells are wrapped only where the table is too wide.
    console.table([Column(title, title == _RATE) for title in headings], rows)
    for paragraph in rest:
        console.message(f"\n{paragraph}")


def _paragraphs(results: Results) -> tuple[str, str, str]:
    """Returns the claim, the conclusion, and how the results were made."""
    experiment = get_experiment(results.experiment)
    claim = experiment.claim
    if experiment.section:
        paper = f": {experiment.paper_result}" if experiment.paper_result else ""
        claim += f" (Section {experiment.section}{paper}.)"
    sentences, is_confirmed = verdict(experiment, results)
    if not is_confirmed:
        shortened = "The experiment was shortened. " if results.plan.shortened else ""
        sentences.append(f"Possible reason: {shortened}{experiment.limitation}")
    data, seeds = results.data, results.plan.seeds
    epochs = max(len(run.history) for run in results.runs)
    setting = (
        f"{data.train_examples:,} training and {data.evaluated_examples:,} {data.evaluated_split} "
        f"images of {data.name}, at most {epochs} epoch{'s' * (epochs != 1)}, "
        f"{'seed 0' if seeds == 1 else f'seeds 0 to {seeds - 1}'}, {results.precision}, commit "
        f"{results.commit}, {format_duration(results.seconds)} on {results.machine}: "
        f"`{results.command}`"
    )
    settings = filter(None, (results.plan.shortened, experiment.setting, setting))
    return claim, " ".join(sentences), " ".join(settings)


def _cells(results: Results) -> list[list[str]]:
    """Returns the table of variants and metrics by row, headings first."""
    experiment = get_experiment(results.experiment)
    metrics = [METRICS[name] for name in experiment.metrics]
    split = results.data.evaluated_split
    rates = [_RATE] if experiment.learning_rates else []
    cells = [["variant", *rates, *(metric.title.replace("test", split) for metric in metrics)]]
    for row in results.variants:
        cells.append([row.name, *(f"{row.learning_rate:g}" for _ in rates)])
        for name, metric in zip(experiment.metrics, metrics, strict=True):
            cells[-1].append(spread(row.metrics[name], metric.unit, row.diverged_runs))
    return cells


def spread(summary: Summary, unit: str, diverged_runs: int = 0) -> str:
    """Returns the mean and, for several seeds, the range: "22.10% (21.50% to 22.90%)"."""
    values = [value for value in summary.values if value is not None]
    missing = len(summary.values) - len(values)
    if missing:
        reason = "not reached or diverged" if diverged_runs else "not reached"
        reason = "diverged" if diverged_runs == missing else reason
        shown = ", ".join(format_value(value, unit) for value in values)
        return f"{shown}; ".lstrip("; ") + f"{reason} in {missing} of {len(summary.values)}"
    if unit == "runs":
        return f"{sum(values):.0f} of {len(values)}"
    text = format_value(summary.mean, unit)
    if len(values) > 1:
        text += f" ({format_value(min(values), unit)} to {format_value(max(values), unit)})"
    return text


def verdict(experiment: Experiment, results: Results) -> tuple[list[str], bool]:
    """Returns sentences that say whether the claim is confirmed, and whether it is.

    Pairs are compared seed by seed: the direction of a claim is confirmed if every seed shows it,
    its size if the mean over the seeds is at least the paper's.
    """
    rows = {row.name: row.metrics[experiment.metrics[0]] for row in results.variants}
    if experiment.equal_within is not None:
        sentence, is_confirmed = _compare_means(experiment, rows)
        not_ = "" if is_confirmed else "not "
        return [f"The claim is {not_}confirmed:", sentence], is_confirmed
    if any(variant.published is not None for variant in experiment.variants):
        return _compare_published(experiment, rows)
    if not experiment.expected:
        means = {name: row.mean for name, row in rows.items() if row.mean is not None}
        title, unit = experiment.metric.title, experiment.metric.unit
        if not means:
            return [f"No variant has a {title} for every seed."], True
        best = min(means, key=means.__getitem__)
        return [f"The lowest mean {title}: {best}, {format_value(means[best], unit)}."], True
    compared = [_compare(experiment, pair, rows) for pair in experiment.expected]
    sentences = [sentence for sentence, _, _ in compared]
    if results.plan.seeds == 1:
        sentences.append("One seed is weak evidence.")
    is_better = [better for _, better, _ in compared]
    is_confirmed = all(enough for _, _, enough in compared)
    if is_confirmed:
        heading = "The claim is confirmed:"
    elif all(is_better):
        heading = "The claim's direction is confirmed, its size is not:"
    else:
        heading = f"The claim is {'partly' if any(is_better) else 'not'} confirmed:"
    return [heading, *sentences], is_confirmed


def _compare(
    experiment: Experiment, pair: Pair, rows: dict[str, Summary]
) -> tuple[str, bool, bool]:
    """Returns a sentence, and whether `better` is better in all seeds, and by enough."""
    pairs = list(zip(rows[pair.better].values, rows[pair.worse].values, strict=True))
    is_ratio, count = experiment.compares_ratio, len(pairs)
    wins = sum(_is_lower(a, b) for a, b in pairs)
    is_worse = sum(_is_lower(b, a) for a, b in pairs) == count
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    margins: list[float] = []
    if is_ratio or experiment.metric.unit == "%":
        margins = [b / a if is_ratio else 100 * (b - a) for a, b in known]

    def size(number: str) -> str:
        return f"a factor of {number}" if is_ratio else f"{number} point" + "s" * (number != "1")

    measured = ""
    if margins and not is_worse and wins < count:
        shown = ", ".join(f"{m:.1f}" if is_ratio else f"{m:+.2f}" for m in margins)
        measured = f" ({'factors' if is_ratio else 'points'} by seed: {shown})"
    elif margins:
        digits = ".1f" if is_ratio else ".2f"
        sizes = [1 / m for m in margins] if is_ratio and is_worse else [abs(m) for m in margins]
        measured = f", by {size(f'{statistics.mean(sizes):{digits}}')}"
        least, most = f"{min(sizes):{digits}}", f"{max(sizes):{digits}}"
        measured += "" if least == most else f" ({least} to {most})"
    if measured and len(known) < count:
        measured += f" in the {len(known)} where both have a value"
    if pair.paper is not None:
        more_than = "more than " if pair.more_than else ""
        it_is = "it is better " if is_worse else ""
        measured += f"; in the paper {it_is}by {more_than}{size(f'{pair.paper:g}')}"
    where = _seeds(count if is_worse else wins, count)
    word = "worse" if is_worse else "better"
    sentence = f"{pair.better} is {word} than {pair.worse} in {where}{measured}."
    is_better = wins == count
    # Seeds in which `worse` never reached the target have no number and do not contradict it.
    enough = not margins or pair.paper is None or round(statistics.mean(margins), 2) >= pair.paper
    return sentence, is_better, is_better and enough


def _compare_means(experiment: Experiment, rows: dict[str, Summary]) -> tuple[str, bool]:
    """Returns a sentence on the difference of two variants' means, and whether it is small."""
    within = experiment.equal_within or 0.0
    means = {name: row.mean for name, row in rows.items() if row.mean is not None}
    if len(means) < len(rows):
        return "Not all runs have a value.", False
    best, last = sorted(means, key=means.__getitem__)
    pairs = list(zip(rows[best].values, rows[last].values, strict=True))
    where = _seeds(sum(_is_lower(a, b) for a, b in pairs), len(pairs))
    points = 100 * (means[last] - means[best])
    sentence = f"{best} is better than {last} in {where}, by {points:.2f} points on average; "
    allowed = f"{within:g} point{'' if within == 1 else 's'}"
    if not experiment.expected:
        return sentence + f"up to {allowed} counts as equal.", points <= within
    worse = experiment.expected[0].worse
    return sentence + f"{worse} may be up to {allowed} worse.", points <= within or worse == best


def _compare_published(experiment: Experiment, rows: dict[str, Summary]) -> tuple[list[str], bool]:
    """Returns a sentence for each variant with a published number, and whether all reach it."""
    sentences, all_reached = [], True
    unit = experiment.metric.unit
    for variant in experiment.variants:
        if variant.published is None:
            continue
        row = rows[variant.name]
        # Published numbers have four digits at most.
        reached = sum(v is not None and round(v - variant.published, 4) <= 0 for v in row.values)
        all_reached = all_reached and reached == len(row.values)
        published = f"{variant.name}: published" if len(rows) > 1 else "Published"
        seeds = f" in {reached or 'any'} of {len(row.values)} seeds" if len(row.values) > 1 else ""
        sentences.append(
            f"{published} {experiment.metric.title} {format_value(variant.published, unit)}, "
            f"measured {format_value(row.mean, unit)}: {'' if reached else 'not '}reached{seeds}."
        )
    return sentences, all_reached


def _is_lower(a: float | None, b: float | None) -> bool:
    """Returns whether `a` is lower; None is higher than all numbers."""
    return a is not None and (b is None or a < b)


def _seeds(wins: int, count: int) -> str:
    """Returns "all 3 seeds", "1 of 3 seeds" or "the only seed"."""
    if wins == count:
        return "the only seed" if count == 1 else f"all {count} seeds"
    return f"{wins} of {count} seeds"
