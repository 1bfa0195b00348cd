"""Results in words: Markdown, tables in a terminal, verdicts."""

import dataclasses
import io
import re

import pytest

from alexnet_tf.console import Console
from alexnet_tf.experiments import claims
from alexnet_tf.experiments.definition import Pair, Variant
from alexnet_tf.experiments.plan import Plan
from alexnet_tf.experiments.results import (
    ExperimentData,
    Results,
    RunResult,
    read_stored,
    summaries,
)
from alexnet_tf.experiments.table import format_value, markdown, print_results, verdict


def results_of(experiment, values, *, split="test", shortened=""):
    """The results of an experiment with these values by variant and seed."""
    runs = [
        RunResult(
            variant=name,
            seed=seed,
            learning_rate=0.01,
            selected=True,
            diverged=False,
            values=dict.fromkeys(experiment.metrics, value),
            parameters=10,
            seconds=1.0,
            images_per_second=100.0,
            history=[{}] * 4,
        )
        for name, seeds in values.items()
        for seed, value in enumerate(seeds)
    ]
    return Results(
        experiment=experiment.name,
        metrics=list(experiment.metrics),
        data=ExperimentData("photos", 1000, 200, split),
        plan=Plan(experiment.name, "photos", len(runs) // 2, None, None, None, shortened=shortened),
        variants=summaries(experiment, runs),
        commit="abc",
        command="python cli.py",
        started="",
        finished="",
        seconds=754,
        precision="float32",
        devices=["/CPU:0"],
        machine="2 cores",
        versions={},
        runs=runs,
    )


@pytest.fixture
def listed(tiny, monkeypatch):
    """Changes the experiment `tiny` and lists it."""

    def change(**changes):
        changed = dataclasses.replace(tiny, **changes)
        monkeypatch.setitem(claims.EXPERIMENTS, "tiny", changed)
        return changed

    return change


def test_markdown_has_means_ranges_and_how_they_were_measured(tiny):
    text = markdown(results_of(tiny, {"one": [0.1, 0.2, 0.33], "two": [0.4, 0.5, 0.6]}))
    assert "| variant | test error | training error |\n|---|---|---|\n" in text
    assert "| one | 21.00% (10.00% to 33.00%) | 21.00% (10.00% to 33.00%) |" in text
    assert "| two | 50.00% (40.00% to 60.00%) |" in text
    assert "The claim is confirmed: one is better than two in all 3 seeds, by 29.00 points" in text
    assert "(27.00 to 30.00)" in text
    assert "1,000 training and 200 test images of photos, at most 4 epochs, seeds 0 to 2" in text
    assert "13 minutes" in text
    assert tiny.limitation not in text


@pytest.mark.parametrize("name", sorted(read_stored()))
def test_terminal_table_fits_80_columns_and_breaks_no_name(name):
    results, stream = read_stored()[name], io.StringIO()
    print_results(results, Console(file=stream, width=80))
    lines = stream.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    for variant in results.variants:
        assert sum(line.startswith(f"{variant.name} ") for line in lines) >= 1
    assert "|" not in stream.getvalue()
    words = re.findall(r"\S+", re.sub(r"[|]|---|[*][*]", " ", markdown(results)))
    assert set(words) - set(stream.getvalue().split()) <= {f"{name}."}


def test_failed_claim_is_reported_with_a_possible_reason(tiny):
    text = markdown(results_of(tiny, {"one": [0.5, 0.6], "two": [0.4, 0.3]}))
    assert "The claim is not confirmed: one is worse than two in all 2 seeds, by 20.00" in text
    assert f"Possible reason: {tiny.limitation}" in text


def test_result_against_the_paper_says_which_way_the_papers_number_goes(listed):
    claim = listed(expected=(Pair("one", "two", 2),))
    measured = results_of(claim, {"one": [0.5, 0.6], "two": [0.4, 0.3]})
    sentence = verdict(claim, measured)[0][1]
    assert sentence.startswith("one is worse than two in all 2 seeds, by 20.00 points")
    assert sentence.endswith("; in the paper it is better by 2 points.")


def test_mixed_result_shows_every_seed(tiny):
    text = markdown(results_of(tiny, {"one": [0.5, 0.2], "two": [0.4, 0.3]}))
    assert "one is better than two in 1 of 2 seeds" in text
    assert "(points by seed: -10.00, +10.00)" in text


def test_target_not_reached_is_worse_than_any_number(listed):
    epochs = listed(metrics=("epochs_to_training_error",), compares_ratio=True)
    text = markdown(results_of(epochs, {"one": [4.0, 5.0], "two": [None, 20.0]}))
    assert "| two | 20.0; not reached in 1 of 2 |" in text
    better = "one is better than two in all 2 seeds, by a factor of"
    assert f"{better} 4.0 in the 1 where both have a value" in text
    text = markdown(results_of(epochs, {"one": [4.0, 5.0], "two": [None, None]}))
    assert "| two | not reached in 2 of 2 |" in text
    text = markdown(results_of(epochs, {"one": [4.0, 5.0], "two": [24.0, 20.0]}))
    assert f"{better} 5.0 (4.0 to 6.0)" in text


@pytest.mark.parametrize(
    ("paper", "heading", "has_reason"),
    [
        (None, "The claim is confirmed:", False),
        (2.5, "The claim is confirmed:", False),
        (3.0, "The claim's direction is confirmed, its size is not:", True),
    ],
)
def test_size_of_a_claim_is_confirmed_if_the_mean_is_as_large(paper, heading, has_reason, listed):
    claim = listed(expected=(Pair("one", "two", paper),))
    text = markdown(results_of(claim, {"one": [0.20, 0.20], "two": [0.22, 0.23]}))
    assert f"{heading} one is better than two in all 2 seeds, by 2.50 points" in text
    assert (claim.limitation in text) == has_reason
    assert ("; in the paper by 3 points" in text) == has_reason


def test_paper_number_of_one_is_singular_and_may_be_exceeded(listed):
    claim = listed(expected=(Pair("one", "two", 1, more_than=True),))
    text = markdown(results_of(claim, {"one": [0.2], "two": [0.3]}))
    assert "; in the paper by more than 1 point." in text


def test_one_seed_is_called_weak_evidence(tiny):
    assert "One seed is weak evidence." in markdown(results_of(tiny, {"one": [0.1], "two": [0.2]}))


def test_claim_with_two_pairs_may_be_partly_confirmed(listed):
    both = listed(expected=(Pair("one", "two"), Pair("two", "one")))
    text = markdown(results_of(both, {"one": [0.1], "two": [0.2]}))
    assert "The claim is partly confirmed:" in text
    text = markdown(results_of(both, {"one": [0.2], "two": [0.2]}))
    assert "The claim is not confirmed:" in text


@pytest.mark.parametrize(
    ("two", "verdict"),
    [
        (0.21, "The claim is confirmed: one is better than two in all 2 seeds, by 1.00 points"),
        (0.22, "The claim is not confirmed: one is better than two in all 2 seeds, by 2.00 points"),
    ],
)
def test_variants_are_equal_if_their_means_are_within_the_tolerance(two, verdict, listed):
    equal = listed(expected=(), equal_within=1.5)
    text = markdown(results_of(equal, {"one": [0.20, 0.20], "two": [two, two]}))
    assert f"{verdict} on average; up to 1.5 points counts as equal." in text


@pytest.mark.parametrize(
    ("two", "verdict"), [(0.22, "is not confirmed"), (0.21, "is confirmed"), (0.1, "is confirmed")]
)
def test_variant_that_may_be_little_worse_may_be_better(two, verdict, listed):
    little = listed(equal_within=1.5)
    text = markdown(results_of(little, {"one": [0.20, 0.20], "two": [two, two]}))
    assert f"The claim {verdict}: " in text
    assert "; two may be up to 1.5 points worse." in text


def test_ratio_of_a_failed_claim_is_inverted(listed):
    epochs = listed(compares_ratio=True, expected=(Pair("one", "two", 6),))
    text = markdown(results_of(epochs, {"one": [8.0, 8.0], "two": [4.0, 2.0]}))
    lost = "one is worse than two in all 2 seeds, by a factor of 3.0 (2.0 to 4.0)"
    assert f"{lost}; in the paper it is better by a factor of 6." in text


def test_runs_at_chance_level_are_counted(listed):
    plateaus = listed(metrics=("plateaued_at_chance_level",))
    text = markdown(results_of(plateaus, {"one": [0.0, 0.0], "two": [1.0, 0.0]}))
    assert "| one | 0 of 2 |" in text
    assert "| two | 1 of 2 |" in text


def test_lowest_variant_is_named_where_nothing_is_claimed(listed):
    open_question = listed(expected=())
    text = markdown(results_of(open_question, {"one": [0.2], "two": [0.1]}))
    assert "The lowest mean test error: two, 10.00%." in text


def test_evaluated_split_is_named(tiny):
    text = markdown(results_of(tiny, {"one": [0.1], "two": [0.2]}, split="validation"))
    assert "| variant | validation error | training error |" in text
    assert "200 validation images of photos" in text


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ([0.2239], "measured 22.39%: reached."),
        ([0.2241], "measured 22.41%: not reached. Possible reason: It is small."),
        ([0.3, 0.4], "measured 35.00%: not reached in any of 2 seeds. Possible reason: It is"),
        ([0.2, 0.3], "measured 25.00%: reached in 1 of 2 seeds. Possible reason: It is small."),
    ],
)
def test_published_number_is_reached_or_not(errors, verdict, listed):
    alone = listed(variants=(Variant("one", published=1 - 0.7761),), expected=())
    text = markdown(results_of(alone, {"one": errors}))
    assert f"Published test error 22.39%, {verdict}" in text


def test_shortened_experiment_is_reported(tiny):
    shortened = "Shortened: 3 epochs instead of 30."
    text = markdown(results_of(tiny, {"one": [0.3], "two": [0.2]}, shortened=shortened))
    assert f"The experiment was shortened. {tiny.limitation}" in text
    assert re.search(r"\nShortened: 3 epochs instead of 30\. .*1,000 training", text)
    assert "seed 0," in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.22391, "%", "22.39%"),
        (7.25, "epochs", "7.2"),
        (1.5, "", "1.500"),
        (None, "%", "diverged"),
        (None, "epochs", "not reached"),
    ],
)
def test_values_are_formatted_by_unit(value, unit, text):
    assert format_value(value, unit) == text
