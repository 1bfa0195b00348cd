"""What all commands have in common: strict JSON, and models with NaN are refused."""

import json
import os
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import alexnet_tf as an
from alexnet_tf.bench.benchmark import Benchmark
from alexnet_tf.cli import COMMANDS, cli, main
from alexnet_tf.model.persistence import check_finite
from alexnet_tf.runs import read_run, write_run
from alexnet_tf.system import processor

pytestmark = pytest.mark.slow

NAN_COMMANDS = {
    "predict": "predict photos/a/0.png --model MODEL",
    "predict --json": "predict photos/a/0.png --model MODEL --json",
    "predict RUN": "predict photos/a/0.png --model RUN",
    "similar": "similar photos/a/0.png --model MODEL --in photos",
    "evaluate": "evaluate --model MODEL --dataset photos --json",
    "evaluate RUN": "evaluate --run RUN",
    "ensemble": "evaluate --run RUN --run good",
    "export": "export --model MODEL --out served",
    "export RUN": "export --run RUN --out served",
    "report": "report --run RUN",
    "demo": "demo --model MODEL --in photos",
    "train": "train --dataset photos --weights MODEL --no-prepare --run-dir new",
}
JSON_COMMANDS = {
    "train": "train --dataset photos --no-prepare --recipe shapes --epochs 1 --batch-size 4",
    "evaluate": "evaluate --run good",
    "runs": "runs",
    "report": "report --run good --only curves",
    "summary": "summary --recipe lenet",
    "predict": "predict photos --model good",
    "similar": "similar photos/a/0.png --run good --in photos",
    "export": "export --run good --out served --format tflite --check-images 4",
    "prepare": "prepare photos --size 32",
    "data": "data ./photos --recipe shapes",
    "bench": "bench --recipe lenet",
    "experiment": "experiment list",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A working folder with photos, a run of one epoch, and a copy of it with NaN in fc1."""
    home = tmp_path_factory.mktemp("home")
    for name in "ab":
        (home / "photos" / name).mkdir(parents=True)
        for number in range(4):
            color = (60 * number, 200 if name == "a" else 20, 90)
            Image.new("RGB", (40, 40), color).save(home / "photos" / name / f"{number}.png")
    run = home / "good"
    sizes = {"limit_train": 32, "limit_val": 32, "batch_size": 32}
    an.train("shapes", epochs=1, run_dir=run, quiet=True, **sizes)
    shutil.copytree(run, home / "bad")
    model = an.load_model(run / "best.keras")
    layer = next(each for each in model.layers if each.name.startswith("fc"))
    for name, value in (("nan", np.nan), ("inf", np.inf)):
        weights = layer.get_weights()
        weights[0][1, 2] = value
        layer.set_weights(weights)
        an.save_model(model, home / f"{name}.keras")
    shutil.copy(home / "nan.keras", home / "bad" / "best.keras")
    write_run(home / "bad", read_run(home / "bad"))
    return home, layer.name


@pytest.fixture
def home(trained, tmp_path, monkeypatch):
    """A fresh copy of that folder."""
    shutil.copytree(trained[0], tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "home"


def outcome(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    return (left.value.code, *capsys.readouterr())


def strict(text):
    """Parses JSON as the standard has it: without NaN and Infinity."""
    return json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in {text}"))


@pytest.mark.parametrize("words", NAN_COMMANDS.values(), ids=NAN_COMMANDS)
def test_model_with_nan_is_refused_by_every_command(words, home, trained, capsys):
    before = sorted(path.name for path in home.iterdir())
    for model in ("nan.keras", "inf.keras"):
        given = words.replace("MODEL", model).replace("RUN", "bad").split()
        code, out, err = outcome(given, capsys)
        assert (code, out) == (2, "")
        (line,) = err.splitlines()
        assert f"the model has NaN or infinite weights in {trained[1]}" in line
        assert (model if "MODEL" in words else "best.keras") in line
    assert sorted(path.name for path in home.iterdir()) == before


def test_large_finite_weights_are_accepted(home):
    model = an.load_model("good/best.keras")
    for layer in model.layers:
        layer.set_weights([np.full_like(weight, 3e38) for weight in layer.get_weights()])
    check_finite(model, "m.keras")


def test_exported_file_whose_output_is_nan_is_refused(home, capsys, monkeypatch):
    monkeypatch.setattr("alexnet_tf.model.persistence.check_finite", lambda *_: None)
    model = an.load_model("good/best.keras")
    last = [layer for layer in model.layers if layer.weights][-1]
    last.set_weights([np.full_like(weight, np.nan) for weight in last.get_weights()])
    an.save_model(model, "output.keras")
    words = ["predict", "photos/a/0.png", "--model", "output.keras", "--json"]
    code, out, err = outcome(words, capsys)
    assert (code, out) == (2, "")
    assert err == "Error: output.keras: the model's output is NaN or infinite\n"


def test_every_command_with_json_is_tested_here():
    options = {
        name: [option for param in command.params for option in param.opts]
        for name in COMMANDS
        if (command := cli.get_command(click.Context(cli), name))
    }
    assert {name for name, opts in options.items() if "--json" in opts} == set(JSON_COMMANDS)


@pytest.mark.parametrize("name", JSON_COMMANDS)
def test_json_output_is_one_object_of_strict_json(name, home, capsys, monkeypatch):
    if name == "bench":
        nan = Benchmark("lenet", processor(), float("nan"), (), (), (), (), (), 1, "float32")
        monkeypatch.setattr("alexnet_tf.bench.benchmark.run_benchmark", lambda *_: nan)
    code, out, _ = outcome([*JSON_COMMANDS[name].split(), "--json"], capsys)
    assert (code, out.count("\n")) == (0, 1)
    assert isinstance(strict(out), dict)


def test_train_with_json_prints_the_final_record(home, capsys):
    words = [*JSON_COMMANDS["train"].split(), "--run-dir", "new", "--json"]
    code, out, _ = outcome(words, capsys)
    assert code == 0
    record = json.loads(json.dumps(read_run(Path("new")).to_json()))
    assert strict(out) == {"run": "new", **record}
    assert strict(out)["last"]["epoch"] == 1


def test_seed_series_with_json_prints_all_records_and_their_statistics(home, capsys):
    words = [*JSON_COMMANDS["train"].split(), "--seeds", "1,2", "--run-dir", "new", "--json"]
    code, out, err = outcome(words, capsys)
    assert code == 0
    values = strict(out)
    assert [run["run"] for run in values["runs"]] == ["new/seed-1", "new/seed-2"]
    assert values["statistics"]["validation_top1_error"].keys() == {"mean", "standard_deviation"}
    assert "validation top-1 error of 2 seeds: mean " in err


def test_dry_run_prints_settings_and_layers_and_writes_nothing(home, capsys):
    before = sorted(home.rglob("*"))
    for more in ([], ["--seeds", "1,2"]):
        code, out, _ = outcome([*JSON_COMMANDS["train"].split(), "--dry-run", *more], capsys)
        assert code == 0
        assert "1 epoch, batch 4" in out and "total " in out and "conv5" in out
    code, out, _ = outcome([*JSON_COMMANDS["train"].split(), "--dry-run", "--json"], capsys)
    values = strict(out)
    assert values["settings"]["seed"] == "0"
    assert values["summary"]["layers"]
    assert sorted(home.rglob("*")) == before


def test_evaluation_with_nan_metrics_has_null_in_its_json(home, capsys, monkeypatch):
    from alexnet_tf.evaluation.metrics import Errors

    nan = property(lambda self: (float("nan"), float("inf")))
    monkeypatch.setattr(Errors, "top1_interval", nan)
    code, out, _ = outcome(["evaluate", "--run", "good", "--json"], capsys)
    assert code == 0
    assert strict(out)["center_crop"]["top1_interval"] == [None, None]


def test_only_one_function_writes_json_to_stdout():
    folder = Path(an.__file__).parent / "commands"
    for path in folder.glob("*.py"):
        assert "json.dump" not in path.read_text(encoding="utf-8"), path.name


@pytest.mark.parametrize(
    "words",
    [
        "data PHOTOS --recipe shapes",
        "predict PHOTOS --model RUN",
        "similar PHOTOS/a/0.png --run RUN --in PHOTOS",
        "evaluate --run RUN",
        "report --run RUN --only curves",
        "export --run RUN --out served --format tflite --check-images 4",
        "export --run RUN --out PHOTOS --check-images 4",
        "prepare PHOTOS --size 32",
        "prepare photos --size 32 --out new-RUN",
        "train --dataset PHOTOS --no-prepare --run-dir new",
    ],
)
def test_names_that_are_not_utf_8_work_or_are_refused_in_one_line(words, home, capsys):
    photos, run = (os.fsdecode(name.encode("gbk")) for name in ("\u72d7\u5e93", "\u732b\u5e93"))
    shutil.copytree("photos", photos)
    shutil.copytree("good", run)
    os.rename(f"{photos}/b", f"{photos}/{photos}")  # noqa: PTH104
    given = [word.replace("PHOTOS", photos).replace("RUN", run) for word in words.split()]
    code, out, err = outcome(given, capsys)
    if code == 0:
        assert out or err
    else:
        assert (code, out, err.count("\n")) == (2, "", err.count("preparing") + 1)
        assert "UTF-8" in err and r"\x" in err
    out.encode(), err.encode()  # everything is shown escaped
