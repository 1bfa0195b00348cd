"""`experiment NAME` as it is typed, with a stand-in for the trainings."""

import json

import pytest

from alexnet_tf.cli import main


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_prints_the_table_or_the_results_and_writes_both(
    as_json, tiny, photos, scripted, monkeypatch, capsys
):
    monkeypatch.chdir(photos.parent)
    words = ["experiment", "tiny", "--dataset", "photos", "--seeds", "2", "--out", "o", "--quiet"]
    with pytest.raises(SystemExit) as left:
        main([*words, *(["--json"] if as_json else [])])
    out, err = capsys.readouterr()
    assert left.value.code == 0
    folder = photos.parent / "o"
    stored = json.loads((folder / "results.json").read_text())
    assert stored["command"] == "python cli.py experiment tiny --dataset photos --seeds 2"
    if as_json:
        assert (json.loads(out), err) == (stored, "")
    else:
        assert "| one |" in out and "One is better than two." in out
        assert err == "written to o/: results.json, table.md, figure.png, runs/\n"
    assert [run["seed"] for run in stored["runs"]] == [0, 1, 0, 1]
