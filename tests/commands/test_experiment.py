"""`experiment`, but for the runs themselves."""

import json

import pytest

from alexnet_tf.cli import main
from alexnet_tf.experiments.catalog import EXPERIMENTS


def outcome(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(["experiment", *arguments])
    captured = capsys.readouterr()
    return left.value.code, captured.out, captured.err


def test_list_has_every_experiment_with_claim_section_and_data(capsys):
    code, out, err = outcome(["list"], capsys)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    for name, experiment in EXPERIMENTS.items():
        assert name in lines
        assert experiment.claim.split(".")[0][:40] in out
    assert "section 3.1, figure 1; the paper's number: six times; data: cifar10, 10,000" in out


def test_list_as_json_is_one_object(capsys):
    code, out, err = outcome(["list", "--json"], capsys)
    assert (code, err, out.count("\n")) == (0, "", 1)
    rows = json.loads(out)["experiments"]
    assert [row["name"] for row in rows] == list(EXPERIMENTS)
    assert rows[0]["variants"] == ["relu", "tanh"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lnr"], ("unknown experiment 'lnr'", "lrn")),
        (["lrn", "--budget", "30m"], ("No such option", "--budget")),
        (["lrn", "--seeds", "0"], ("--seeds",)),
        (["lrn", "--epochs", "none"], ("--epochs",)),
        ([], ("NAME",)),
    ],
)
def test_bad_input_is_one_line(arguments, words, capsys):
    code, out, err = outcome(arguments, capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("Error: ")
    assert all(word in err for word in words)
