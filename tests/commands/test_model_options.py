"""--run and --model of every command: which model is used, and what is printed about it."""

import json
import shutil
from pathlib import Path

import click
import pytest
from PIL import Image
from run_records import run_record

from alexnet_tf import runs
from alexnet_tf.cli import COMMANDS, cli, main
from alexnet_tf.commands.options import report_model
from alexnet_tf.console import Console, ProgressReporter
from alexnet_tf.train_options import TrainOptions

SAVED = Path(__file__).parents[1] / "model" / "saved" / "lrn.keras"  # three classes


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with a run, a newer one without a model, a model file and a photo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, year in (("first", 2025), ("second", 2026)):
        folder = tmp_path / "saved_models" / name
        folder.mkdir(parents=True)
        runs.write_run(folder, run_record(started=f"{year}-01-01T00:00:00+00:00"))
    shutil.copy(SAVED, "saved_models/first/best.keras")
    shutil.copy(SAVED, "file.keras")
    Path("photos").mkdir()
    for number in range(2):
        Image.new("RGB", (40, 40), (90 * number, 9, 9)).save(f"photos/{number}.png")
    return tmp_path


def outcome(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words.split())
    return (left.value.code, *capsys.readouterr())


MODEL = "saved_models/first/best.keras"
SKIPPED = "skipped saved_models/second: it has no model yet (resume its training)\n"


@pytest.mark.parametrize(
    ("words", "model", "note"),
    [
        ("", f"{MODEL}, trained on shapes", SKIPPED),
        ("--run saved_models/first", f"{MODEL}, trained on shapes", ""),
        ("--model file.keras", "file.keras", ""),
        (
            "--model saved_models/first",
            f"{MODEL}, trained on shapes",
            "--model saved_models/first is a run folder: used as --run\n",
        ),
        ("--run file.keras", "file.keras", "--run file.keras is a model file: used as --model\n"),
    ],
)
def test_predict_and_similar_print_the_model_and_its_classes(words, model, note, home, capsys):
    for command in ("predict photos/0.png", "similar photos/0.png --in photos"):
        code, out, err = outcome(f"{command} {words}", capsys)
        assert (code, err) == (0, note)
        assert out.startswith(f"model: {model}\n3 classes: cat, dog, emu\n")


def test_predict_with_csv_prints_the_model_on_stderr(home, capsys):
    code, out, err = outcome("predict photos --model file.keras --csv -", capsys)
    assert code == 0
    assert out.startswith("image,prediction")
    assert err.startswith("model: file.keras\n3 classes: cat, dog, emu\n")


def test_predict_skips_an_empty_pattern_and_goes_on_with_the_others(home, capsys):
    code, out, err = outcome("predict no*.jpg photos --model file.keras --top 1", capsys)
    assert (code, err) == (1, "skipped no*.jpg: no image matches this pattern\n")
    assert out.count("photos/") == 2
    code, out, _ = outcome("predict photos none.png --model file.keras --json", capsys)
    assert (code, len(json.loads(out)["images"])) == (1, 2)
    assert json.loads(out)["damaged"] == [{"image": "none.png", "reason": "file not found"}]


def test_class_names_of_a_large_model_are_cut_after_whole_names(capsys):
    names = [f"great white shark {number}" for number in range(1000)]
    report_model(runs.ModelSource(Path("m.keras")), names, Console(), ProgressReporter())
    shown = ", ".join(names[:2])
    assert capsys.readouterr().out == f"model: m.keras\n1,000 classes: {shown}, ...\n"


def test_every_command_that_takes_one_of_both_options_takes_the_other():
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        options = {option for param in command.params for option in param.opts}
        assert ("--run" in options) == ("--model" in options), name


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("evaluate", "evaluate --dataset takes another"),
        ("report", "evaluate --dataset takes another"),
        ("export --format saved_model", "--dataset takes another"),
        ("similar photos/0.png", "--in takes another"),
        ("train --resume", "if it has moved, name its place by --dataset"),
    ],
)
def test_a_recorded_folder_that_has_moved_is_named_with_its_origin(words, remedy, home, capsys):
    shutil.rmtree("saved_models/second")
    run = Path("saved_models/first")
    options = TrainOptions(dataset=str(home / "gone"))
    runs.write_run(run, run_record(options=options))
    code, out, err = outcome(words, capsys)
    assert (code, out) == (2, "")
    start = f"Error: {home}/gone: folder not found (the data set of saved_models/first/run.json: "
    assert err.startswith(start) and remedy in err and err.count("\n") == 1
    assert err.count("--dataset") == remedy.count("--dataset")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("report --model file.keras", "file.keras is not a run folder"),
        ("report --run saved_models/second", "saved_models/second has no model yet"),
        ("evaluate --run saved_models/second", "saved_models/second has no model yet"),
        ("evaluate --run file.keras", "name the data set to evaluate the model on: --dataset"),
        ("export --model photos", "photos"),
        ("similar photos/0.png --in photos --model photos", "photos"),
        ("summary --model photos", "photos"),
        ("predict photos --run photos", "photos is not a run folder"),
    ],
)
def test_a_path_of_the_wrong_kind_is_named_in_one_line(words, expected, home, capsys):
    code, out, err = outcome(words, capsys)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("Error: ") and expected in err.splitlines()[-1]
    assert all("used as" in line for line in err.splitlines()[:-1])
