"""CSV files of predictions: rows, interruption, and memory."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command
from PIL import Image

from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.prediction_files import open_csv

ROOT = Path(__file__).parents[2]


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_header_and_rows_with_quoted_names(tmp_path):
    with open_csv(tmp_path / "a.csv", ["image", "class"]) as write:
        write(['a, "b".png', "x"])
        write(["line\nbreak \udce9.png", "größer"])
    assert rows_of((tmp_path / "a.csv").read_text(encoding="utf-8")) == [
        {"image": 'a, "b".png', "class": "x"},
        {"image": "line\\nbreak \\xe9.png", "class": "größer"},
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_failed_csv_keeps_the_file_before_it_and_its_own_rows_as_partial(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), open_csv(path, ["image"]) as write:
        write(["first"])
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    (partial,) = tmp_path.glob("a.csv.*.partial")
    assert partial.read_text() == "image\nfirst\n"
    assert partial.name in capsys.readouterr().err


def test_csv_without_rows_leaves_nothing_when_it_fails(tmp_path):
    with pytest.raises(ValueError), open_csv(tmp_path / "a.csv", ["image"]):
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_csv_to_a_device_or_link_writes_through_it(tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    for path in (tmp_path / "link.csv", Path(os.devnull)):
        with open_csv(path, ["image"]) as write:
            write(["a"])
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "image\na\n"
    assert not Path(os.devnull).is_file()


def test_csv_in_a_missing_folder_is_rejected(tmp_path):
    with (
        pytest.raises(InputError, match=r"folder .*none not found"),
        open_csv(tmp_path / "none" / "a.csv", []),
    ):
        pass


@pytest.mark.parametrize("more", [[], ["--ten-crop"]])
def test_evaluate_csv_agrees_with_predict_and_the_counts(
    more, small_model_file, colored, tmp_path, own_cache, capsys
):
    path = tmp_path / "rows.csv"
    model = ["--model", small_model_file]
    arguments = ["evaluate", *model, "--dataset", colored, "--csv", path, "--json", *more]
    code, out, _ = run_command(arguments, capsys)
    assert code == 0
    rows = rows_of(path.read_text())
    assert len(rows) == 24
    counts = json.loads(out)["ten_crop" if more else "center_crop"]
    assert sum(row["label"] != row["prediction"] for row in rows) == counts["top1_errors"]
    files = [row["image"] for row in rows]
    code, out, err = run_command(["predict", *files, *model, "--json", *more], capsys)
    assert code == 0, err
    for row, predicted in zip(rows, json.loads(out)["images"], strict=True):
        assert row["label"] == Path(row["image"]).parent.name
        assert row["prediction"] == row["class_1"] == predicted["top"][0]["class"]
        for k, top in enumerate(predicted["top"], 1):
            assert row[f"class_{k}"] == top["class"]
            assert float(row[f"probability_{k}"]) == pytest.approx(top["probability"], abs=1e-5)
        assert not row["class_4"]  # three classes


def test_evaluate_csv_on_stdout_has_rows_alone(small_model_file, colored, own_cache, capsys):
    arguments = ["evaluate", "--model", small_model_file, "--dataset", colored, "--csv", "-"]
    code, out, err = run_command(arguments, capsys)
    assert (code, len(rows_of(out))) == (0, 24)
    assert "top-1 error" in err
    code, out, err = run_command([*arguments, "--json"], capsys)
    assert (code, out) == (2, "") and "--csv -" in err


def test_ensemble_csv_and_per_class_are_of_the_average(
    small_model_file, colored, tmp_path, own_cache, capsys
):
    members = ["--model", small_model_file, "--model", small_model_file]
    path = tmp_path / "rows.csv"
    code, out, _ = run_command(
        ["evaluate", *members, "--dataset", colored, "--per-class", "--csv", path, "--json"], capsys
    )
    assert code == 0
    values = json.loads(out)
    assert all("per_class" not in member for member in values["members"])
    pairs = [(row["label"], row["prediction"]) for row in rows_of(path.read_text())]
    names = sorted({label for label, _ in pairs})
    cells = {(names[a], names[b]): n for a, b, n in values["ensemble"]["per_class"]["confusion"]}
    assert cells == {pair: pairs.count(pair) for pair in set(pairs)}


def test_per_class_table_shows_the_worst_classes_and_how_many_are_hidden(
    small_model_file, colored, own_cache, capsys, monkeypatch
):
    arguments = ["evaluate", "--model", small_model_file, "--dataset", colored, "--per-class"]
    code, out, _ = run_command(arguments, capsys)
    assert code == 0
    assert all(word in out for word in ("blue", "green", "red", "precision", "calibration error"))
    assert "not shown" not in out
    monkeypatch.setattr("alexnet_tf.commands.evaluate._SHOWN_CLASSES", 2)
    _, out, _ = run_command(arguments, capsys)
    assert "1 class with a higher F1 is not shown" in out
    assert sum(f"\n{name} " in out for name in ("blue", "green", "red")) == 2


def test_predict_csv_has_a_row_per_image_and_why_it_was_skipped(
    small_model_file, colored, tmp_path, capsys
):
    (colored / "red" / "3.png").write_bytes(b"\x89PNG")
    path = tmp_path / "rows.csv"
    arguments = ["predict", colored, "--model", small_model_file, "--top", "2"]
    code, out, err = run_command([*arguments, "--csv", path], capsys)
    assert (code, out) == (1, "")
    assert "rows.csv: 24 images" in err
    rows = rows_of(path.read_text())
    assert [Path(row["image"]).relative_to(colored).as_posix() for row in rows] == [
        f"{color}/{i}.png" for color in ("blue", "green", "red") for i in range(8)
    ]
    assert [row["image"] for row in rows if row["skipped"]] == [str(colored / "red" / "3.png")]
    assert rows[19]["prediction"] == "" and "class_3" not in rows[0]
    _, out, _ = run_command([*arguments, "--json"], capsys)
    first = json.loads(out)["images"][0]["top"]
    assert rows[0]["prediction"] == rows[0]["class_1"] == first[0]["class"]
    assert float(rows[0]["probability_2"]) == pytest.approx(first[1]["probability"], abs=1e-5)
    _, on_stdout, _ = run_command([*arguments, "--csv", "-"], capsys)
    assert on_stdout == path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_predict_leaves_whole_rows_in_the_partial_file(
    stop, small_model_file, colored, tmp_path
):
    command = [sys.executable, str(ROOT / "cli.py"), "predict", *[str(colored)] * 5000]
    path = tmp_path / "rows.csv"
    more = ["--model", str(small_model_file), "--csv", str(path)]
    process = subprocess.Popen([*command, *more], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 120
        while not any(len(p.read_text()) > 2000 for p in tmp_path.glob("rows.csv.*.partial")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        process.send_signal(stop)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert not path.exists()
    (partial,) = tmp_path.glob("rows.csv.*.partial")
    text = partial.read_text()
    assert text.endswith("\n")
    rows = rows_of(text)
    assert rows and all(float(row["probability_3"]) >= 0 for row in rows)
    if stop == signal.SIGINT:
        assert process.returncode == 3
        assert partial.name in err.decode()


def test_predict_csv_holds_few_images_in_memory(small_model_file, tmp_path, monkeypatch, capsys):
    """The files are read as rows are written, not before."""
    folder = tmp_path / "photos"
    folder.mkdir()
    image = Image.fromarray(np.zeros((14, 14, 3), np.uint8))
    for i in range(200):
        image.save(folder / f"{i:03}.png")
    path, ahead = tmp_path / "rows.csv", []
    module = sys.modules["alexnet_tf.evaluation.image_files"]
    read_bytes = Path.read_bytes

    def counted(file):
        if file.suffix == ".png":
            written = sum(p.read_text().count("\n") - 1 for p in tmp_path.glob("rows.csv.*"))
            ahead.append(int(file.stem) - written)
        return read_bytes(file)

    monkeypatch.setattr(module.Path, "read_bytes", counted)
    code, *_ = run_command(["predict", folder, "--model", small_model_file, "--csv", path], capsys)
    assert code == 0
    assert len(ahead) == 200 and max(ahead) < 60
