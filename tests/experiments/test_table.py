import dataclasses
import re

import pytest

from alexnet_tf.experiments import catalog
from alexnet_tf.experiments.definition import Pair, Variant
from alexnet_tf.experiments.results import summaries
from alexnet_tf.experiments.table import format_value, table, verdict


def results_of(experiment, values, **more):
    """What results.json holds for test errors by variant and seed."""
    runs = [
        {
            "variant": name,
            "seed": seed,
            "learning_rate": 0.01,
            "counts": True,
            "diverged": False,
            "parameters": 10,
            "values": dict.fromkeys(experiment.metrics, error),
            "history": [{}] * 4,
        }
        for name, errors in values.items()
        for seed, error in enumerate(errors)
    ]
    return {
        "experiment": experiment.name,
        "data": {
            "name": "photos",
            "train_examples": 1000,
            "judged_examples": 200,
            "judged_split": "test",
        },
        "plan": {"seeds": len(runs) // 2, "shortened": ""},
        "variants": summaries(experiment, runs),
        "runs": runs,
        "precision": "float32",
        "commit": "abc",
        "seconds": 754,
        "machine": "2 cores",
        "command": "python cli.py",
        **more,
    }


def test_the_numbers_are_the_runs_own(tiny):
    text = table(results_of(tiny, {"one": [0.1, 0.2, 0.33], "two": [0.4, 0.5, 0.6]}))
    assert "| one | 21.00% (10.00% to 33.00%) | 21.00% (10.00% to 33.00%) |" in text
    assert "| two | 50.00% (40.00% to 60.00%) |" in text
    assert "The claim holds here: one ahead of two in all 3 seeds by 29.00 points" in text
    assert "(27.00 to 30.00)" in text
    assert "1,000 training and 200 test images of photos, at most 4 epochs, seeds 0 to 2" in text
    assert "13 minutes" in text
    assert tiny.reason not in text


def test_a_claim_that_fails_is_reported_with_a_reason(tiny):
    text = table(results_of(tiny, {"one": [0.5, 0.6], "two": [0.4, 0.3]}))
    assert "The claim is not seen here: one behind two in all 2 seeds by 20.00 points" in text
    assert tiny.reason in text


def test_a_result_against_the_paper_says_which_way_the_papers_number_goes(tiny):
    claim = dataclasses.replace(tiny, expected=(Pair("one", "two", 2),))
    measured = results_of(claim, {"one": [0.5, 0.6], "two": [0.4, 0.3]})
    sentence = verdict(claim, measured)[0][1]
    assert sentence.startswith("one behind two in all 2 seeds by 20.00 points")
    assert sentence.endswith("; in the paper ahead by 2 points.")


def test_a_mixed_result_shows_every_seed(tiny):
    text = table(results_of(tiny, {"one": [0.5, 0.2], "two": [0.4, 0.3]}))
    assert "one ahead of two in 1 of 2 seeds" in text
    assert "-10.00, +10.00" in text


def test_never_is_worse_than_any_number_and_is_shown(tiny, monkeypatch):
    epochs = dataclasses.replace(tiny, metrics=("epochs_to_training_error",), ratio=True)
    monkeypatch.setitem(catalog.EXPERIMENTS, "tiny", epochs)
    text = table(results_of(epochs, {"one": [4.0, 5.0], "two": [None, 20.0]}))
    assert "| two | 20.0; never in 1 of 2 |" in text
    assert "one ahead of two in all 2 seeds by 4.0 times in the 1 where both have" in text
    text = table(results_of(epochs, {"one": [4.0, 5.0], "two": [24.0, 20.0]}))
    assert "by 5.0 times (4.0 to 6.0)" in text


@pytest.mark.parametrize(
    ("paper", "verdict", "reasoned"),
    [
        (None, "The claim holds here: one ahead of two in all 2 seeds by 2.50 points", False),
        (2.5, "The claim holds here: one ahead of two in all 2 seeds by 2.50 points", False),
        (3.0, "The claim's direction is seen here, its size is not: one ahead of two", True),
    ],
)
def test_a_claim_of_a_size_holds_if_the_mean_is_as_large(
    paper, verdict, reasoned, tiny, monkeypatch
):
    claim = dataclasses.replace(tiny, expected=(Pair("one", "two", paper),))
    monkeypatch.setitem(catalog.EXPERIMENTS, "tiny", claim)
    text = table(results_of(claim, {"one": [0.20, 0.20], "two": [0.22, 0.23]}))
    assert verdict in text
    assert (tiny.reason in text) == reasoned
    assert ("; in the paper by 3 points" in text) == reasoned


def test_one_seed_decides_little(tiny):
    assert "One seed decides little." in table(results_of(tiny, {"one": [0.1], "two": [0.2]}))


def test_of_two_comparisons_one_both_or_none_may_be_seen(tiny, monkeypatch):
    both = dataclasses.replace(tiny, expected=(Pair("one", "two"), Pair("two", "one")))
    monkeypatch.setitem(catalog.EXPERIMENTS, "tiny", both)
    assert "Not all of it is seen here:" in table(results_of(both, {"one": [0.1], "two": [0.2]}))
    assert "The claim is not seen here:" in table(results_of(both, {"one": [0.2], "two": [0.2]}))


@pytest.mark.parametrize(
    ("two", "verdict"),
    [
        (0.21, "The claim holds here: one ahead of two in all 2 seeds, by 1.00 points"),
        (0.22, "The claim is not seen here: one ahead of two in all 2 seeds, by 2.00 points"),
    ],
)
def test_a_claim_that_variants_are_alike(two, verdict, tiny, monkeypatch):
    alike = dataclasses.replace(tiny, expected=(), alike_within=1.5)
    monkeypatch.setitem(catalog.EXPERIMENTS, "tiny", alike)
    text = table(results_of(alike, {"one": [0.20, 0.20], "two": [two, two]}))
    assert f"{verdict} on average; up to 1.5 counts as alike." in text


@pytest.mark.parametrize(
    ("two", "verdict"), [(0.22, "is not seen"), (0.21, "holds"), (0.1, "holds")]
)
def test_a_claim_that_one_loses_little_allows_it_to_win(two, verdict, tiny, monkeypatch):
    little = dataclasses.replace(tiny, alike_within=1.5)
    monkeypatch.setitem(catalog.EXPERIMENTS, "tiny", little)
    text = table(results_of(little, {"one": [0.20, 0.20], "two": [two, two]}))
    assert f"The claim {verdict} here: " in text
    assert "; two may be up to 1.5 behind." in text


def test_a_lost_ratio_is_the_others(tiny, monkeypatch):
    epochs = dataclasses.replace(tiny, ratio=True, expected=(Pair("one", "two", 6),))
    monkeypatch.setitem(catalog.EXPERIMENTS, "tiny", epochs)
    text = table(results_of(epochs, {"one": [8.0, 8.0], "two": [4.0, 2.0]}))
    lost = "one behind two in all 2 seeds by 3.0 times (2.0 to 4.0)"
    assert f"{lost}; in the paper ahead by 6 times." in text


def test_runs_are_counted(tiny, monkeypatch):
    stuck = dataclasses.replace(tiny, metrics=("stuck",))
    monkeypatch.setitem(catalog.EXPERIMENTS, "tiny", stuck)
    text = table(results_of(stuck, {"one": [0.0, 0.0], "two": [1.0, 0.0]}))
    assert "| one | 0 of 2 |" in text
    assert "| two | 1 of 2 |" in text


def test_where_nothing_is_claimed_the_lowest_is_named(tiny, monkeypatch):
    open_question = dataclasses.replace(tiny, expected=())
    monkeypatch.setitem(catalog.EXPERIMENTS, "tiny", open_question)
    text = table(results_of(open_question, {"one": [0.2], "two": [0.1]}))
    assert "The lowest test error on average: two, 10.00%." in text


def test_what_it_was_judged_on_is_named(tiny):
    results = results_of(tiny, {"one": [0.1], "two": [0.2]})
    results["data"]["judged_split"] = "validation"
    text = table(results)
    assert "| variant | validation error | training error |" in text
    assert "200 validation images of photos" in text


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ([0.2239], "To be met: 22.39%, here 22.39%: met or beaten."),
        ([0.2241], "To be met: 22.39%, here 22.41%: not met. It is small."),
        ([0.3, 0.4], "To be met: 22.39%, here 35.00%: not met in any of 2 seeds. It is small."),
        ([0.2, 0.3], "To be met: 22.39%, here 25.00%: met or beaten in 1 of 2 seeds. It is small."),
    ],
)
def test_a_published_number_is_met_or_not(errors, verdict, tiny, monkeypatch):
    variants = (Variant("one", published=1 - 0.7761),)
    alone = dataclasses.replace(tiny, variants=variants, expected=())
    monkeypatch.setitem(catalog.EXPERIMENTS, "tiny", alone)
    assert verdict in table(results_of(alone, {"one": errors}))


def test_a_shortened_experiment_is_named(tiny):
    plan = {"seeds": 1, "shortened": "Shortened: 3 epochs instead of 30."}
    text = table(results_of(tiny, {"one": [0.3], "two": [0.2]}, plan=plan))
    assert f"The experiment was shortened. {tiny.reason}" in text
    assert re.search(r"Shortened: 3 epochs instead of 30\. 1,000 training", text)
    assert "seed 0," in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.22391, "%", "22.39%"), (7.25, "epochs", "7.2"), (1.5, "", "1.500"), (None, "%", "never")],
)
def test_values(value, unit, text):
    assert format_value(value, unit) == text
