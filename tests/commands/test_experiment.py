"""`experiment`, except for the runs themselves: the list, and rejected input."""

import json

import pytest

from alexnet_tf.cli import main
from alexnet_tf.experiments.claims import EXPERIMENTS


def outcome(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["experiment", *arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_list_has_claim_section_data_and_time_of_every_experiment(capsys):
    code, out, err = outcome(["list"], capsys)
    assert (code, err) == (0, "")
    lines, text = out.splitlines(), " ".join(out.split())
    for name, experiment in EXPERIMENTS.items():
        assert any(line.startswith(f"{name} ") for line in lines)
        assert experiment.claim in text
    assert "section 3.1, figure 1; the paper's result: six times; data: cifar10, 10,000" in text
    assert "11 minutes on 2 x86_64 cores" in text
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_list_with_json_is_one_object_with_measured_hours(capsys):
    code, out, err = outcome(["list", "--json"], capsys)
    assert (code, err, out.count("\n")) == (0, "", 1)
    rows = json.loads(out)["experiments"]
    assert [row["name"] for row in rows] == list(EXPERIMENTS)
    assert rows[0]["variants"] == ["relu", "tanh"]
    assert all(row["hours"] > 0 and row["machine"] for row in rows)


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
def test_invalid_input_is_rejected_in_one_line(arguments, words, capsys):
    code, out, err = outcome(arguments, capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("Error: ")
    assert all(word in err for word in words)
