import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.experiments.catalog import EXPERIMENTS, get_experiment
from alexnet_tf.experiments.measures import METRICS
from alexnet_tf.experiments.results import summaries
from alexnet_tf.experiments.stored import BEGIN, DOCS, END, PICTURES, block, read_stored, with_block
from alexnet_tf.recipes import get_recipe

STORED = read_stored()


def test_the_page_is_what_the_command_makes_of_the_stored_results():
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    assert with_block(page, block(STORED)) == page


def test_every_stored_result_has_an_experiment_and_a_small_picture():
    assert set(STORED) <= set(EXPERIMENTS)
    for name in STORED:
        assert 0 < (DOCS / PICTURES / f"{name}.png").stat().st_size < 150_000


@pytest.mark.parametrize("name", sorted(STORED))
def test_stored_sums_follow_from_the_stored_runs(name):
    results, experiment = STORED[name], get_experiment(name)
    assert results["variants"] == summaries(experiment, results["runs"])
    assert results["seconds"] == pytest.approx(sum(run["seconds"] for run in results["runs"]))
    for run in results["runs"]:
        metric = METRICS[experiment.metrics[0]]
        if metric.title == "test error" and not metric.judges and not run["diverged"]:
            last = run["history"][-1]["validation_top1_error"]
            assert run["values"][experiment.metrics[0]] == pytest.approx(last, abs=1e-6)


def baseline(name, variant):
    """The test errors of the counting runs of a variant, after checking that it changes nothing."""
    experiment = get_experiment(name)
    assert experiment.recipe_of(experiment.variant(variant)) == get_recipe("cifar10-small")
    return [
        run["values"]["test_error"] for run in STORED[name]["runs"] if run["variant"] == variant
    ]


def test_what_the_page_says_of_the_runs_that_are_compared_with_is_so():
    page = (DOCS / "results.md").read_text(encoding="utf-8").replace("\n", " ")
    shared = {
        "weight-decay": "0.0005",
        "depth": "five convolutions",
        "towers": "two towers",
        "overlapping-pooling": "overlapping",
        "paper-vs-2012": "paper",
        "batch-norm": "lrn",
        "pooling": "overlapping",
    }
    for name, variant in shared.items():
        assert baseline(name, variant) == baseline("towers", "two towers")
    again = zip(baseline("towers", "two towers"), baseline("dropout", "dropout"), strict=True)
    worse = [f"{100 * (one - two):.2f}" for one, two in again]
    assert f"came out {worse[0]}, {worse[1]} and {worse[2]} points worse" in page


def test_a_page_keeps_what_is_outside_the_marks():
    page = f"above\n{BEGIN}\nold\n{END}\nbelow\n"
    assert (
        with_block(page, f"{BEGIN}\nnew \\1\n{END}") == f"above\n{BEGIN}\nnew \\1\n{END}\nbelow\n"
    )
    with pytest.raises(InputError, match="no lines"):
        with_block("above", "new")
