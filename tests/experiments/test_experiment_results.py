"""The stored results, which are part of the package."""

import json

import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.experiments.claims import EXPERIMENTS, get_experiment
from alexnet_tf.experiments.results import STORED, read_results, read_stored, summaries

RESULTS = read_stored()


def test_all_stored_results_belong_to_an_experiment():
    assert len(RESULTS) >= 20
    assert set(RESULTS) <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_stored_summaries_follow_from_the_stored_runs(name):
    results, experiment = RESULTS[name], get_experiment(name)
    assert results.variants == summaries(experiment, results.runs)
    assert results.seconds == pytest.approx(sum(run.seconds for run in results.runs))
    for run in results.runs:
        metric = experiment.metric
        if metric.title == "test error" and not metric.needs_model and not run.diverged:
            last = run.history[-1]["validation_top1_error"]
            assert run.values[experiment.metrics[0]] == pytest.approx(last, abs=1e-6)


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_results_are_the_same_after_writing_and_reading(name, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(RESULTS[name].to_json()))
    assert read_results(path) == RESULTS[name]
    assert json.loads(path.read_text()) == json.loads((STORED / f"{name}.json").read_text())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "results.json not found: let the experiment finish"),
        ("{", "results.json is damaged"),
        ("[1]", "results.json is damaged"),
        ('{"version": 2}', "results.json is damaged"),
        ('{"version": 2, "experiment": "lrn"}', "results.json is damaged"),
        ('{"version": 2, "experiment": "lnr"}', "results.json is damaged .*'lnr': choose one of"),
        ('{"experiment": "lrn"}', "results.json was written by another version"),
    ],
)
def test_unreadable_results_are_rejected_with_their_path(content, message, tmp_path):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_results(path)
