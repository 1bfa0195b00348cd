"""`prepare` from end to end: what is written, going on after a kill, doing nothing twice."""

import errno
import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hostile import encoded, photo
from PIL import Image

from alexnet_tf.data.prepare import prepare as prepare_module
from alexnet_tf.data.prepare import work as work_module
from alexnet_tf.data.prepare.items import Item
from alexnet_tf.data.prepare.prepare import prepare
from alexnet_tf.data.prepare.repair import repair
from alexnet_tf.data.prepare.work import Task, do_tasks
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.statistics import fit_statistics
from alexnet_tf.errors import InputError, TrainingStopped

ROOT = Path(__file__).parents[3]
SIZE = 24


def make_photos(root, train=40, val=9):
    for split, count in (("train", train), ("val", val)):
        for i in range(count):
            path = root / split / ("cat", "dog", "wild boar")[i % 3] / f"{i:03d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(photo(60 + i, 48, seed=i + (1000 if split == "val" else 0))))
    (root / "train" / "cat" / "000 again.jpg").write_bytes(
        (root / "train" / "cat" / "000.jpg").read_bytes()
    )
    (root / "train" / "dog" / "bad.jpg").write_bytes(b"bad")


@pytest.fixture(scope="module", params=["jpeg", "raw"])
def done(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    make_photos(root / "photos")
    result = prepare(str(root / "photos"), root / "out", size=SIZE, kind=request.param, processes=2)
    return root / "photos", result, request.param


def content(folder):
    """The bytes of every file by name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def pixels_by_name(photos):
    names = (path for path in photos.rglob("*.jpg") if path.name != "bad.jpg")
    return {
        str(path.relative_to(photos)): repair(path.read_bytes(), path.name, SIZE).pixels
        for path in names
    }


def test_every_example_is_there_with_its_label(done):
    photos, result, kind = done
    dataset = open_dataset(result.folder)
    assert dataset.class_names == ("cat", "dog", "wild boar")
    expected = pixels_by_name(photos)
    seen = set()
    for split, count in (("train", 41), ("validation", 9)):
        examples = dataset.splits[split]
        assert len(examples) == count
        for i in range(count):
            name = examples.name(i)
            seen.add(name)
            assert dataset.class_names[examples.labels[i]] == Path(name).parent.name
            image = examples.load(tf.constant(i, tf.int64)).numpy().astype(int)
            limit = 0 if kind == "raw" else 12  # a JPEG of quality 90
            assert abs(image - expected[name]).mean() <= limit
    assert seen == set(expected)


def test_tfds_reads_it_too(done):
    _, result, _ = done
    builder = tfds.builder_from_directory(str(result.folder))
    assert builder.info.features["label"].names == ["cat", "dog", "wild boar"]
    ours = open_dataset(result.folder)
    for split, examples in ours.splits.items():
        theirs = {
            row["file"].decode(): (row["image"], row["label"])
            for row in builder.as_dataset(split=split).as_numpy_iterator()
        }
        assert len(theirs) == builder.info.splits[split].num_examples == len(examples)
        for i in range(len(examples)):
            image, label = theirs[examples.name(i)]
            assert label == examples.labels[i]
            np.testing.assert_array_equal(examples.load(tf.constant(i, tf.int64)), image)


def test_the_statistics_are_those_of_the_training_images(done):
    _, result, kind = done
    examples = open_dataset(result.folder).splits["train"]
    stored = fit_statistics(examples, SIZE, cache=False)
    examples.stored_statistics = None
    fitted = fit_statistics(examples, SIZE, cache=False)
    tolerance = 1e-4 if kind == "raw" else 3.0  # JPEG comes after the sums
    np.testing.assert_allclose(stored.mean_image, fitted.mean_image, atol=tolerance * 4)
    np.testing.assert_allclose(stored.rgb_stds, fitted.rgb_stds, atol=tolerance)
    if kind == "raw":
        assert stored.images is None  # there is no need to keep what is read as fast
        np.testing.assert_allclose(stored.rgb_eigenvectors, fitted.rgb_eigenvectors, atol=1e-6)


def test_the_report(done):
    _, result, _ = done
    report = json.loads((result.folder / "report.json").read_text())
    assert report == result.report
    train = report["splits"]["train"]
    assert (train["images"], train["skipped"]) == (41, 1)
    assert train["per_class"] == {"cat": 15, "dog": 13, "wild boar": 13}
    assert train["width"] == {"smallest": 60, "median": 79, "largest": 99}
    assert train["kinds"] == {"JPEG RGB": 41}
    assert report["duplicates"] == {
        "groups": 1,
        "superfluous_images": 1,
        "groups_across_splits": 0,
        "groups_across_classes": 0,
    }
    duplicates = (result.folder / "duplicates.csv").read_text()
    assert "000.jpg" in duplicates and "000 again.jpg" in duplicates
    assert not (result.folder / ".preparing").exists()


def test_done_once_there_is_nothing_to_do(done, monkeypatch):
    photos, result, kind = done
    before = content(result.folder)
    monkeypatch.setattr(prepare_module, "write_shards", None)  # would fail if called
    again = prepare(str(photos), result.folder, size=SIZE, kind=kind)
    assert again.was_done and again.report == result.report
    assert content(result.folder) == before
    with pytest.raises(InputError, match="another prepared set"):
        prepare(str(photos), result.folder, size=SIZE + 1, kind=kind)
    with pytest.raises(InputError, match="is prepared already"):
        prepare(str(result.folder))


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    make_photos(tmp_path / "photos", 6, 0)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        prepare(str(tmp_path / "photos"), tmp_path / "out", size=8)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_out_inside_of_the_source_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    make_photos(tmp_path / "photos", 6, 0)
    before = content(tmp_path)
    with pytest.raises(InputError, match=r"is inside of .*photos: give a folder outside"):
        prepare(str(tmp_path / "photos"), tmp_path / "photos" / "out", size=8)
    monkeypatch.chdir(tmp_path / "photos")
    with pytest.raises(InputError, match="is inside of"):
        prepare(".", size=8)
    assert content(tmp_path) == before


@pytest.mark.parametrize("options", [{"size": 0}, {"size": 5000}, {"kind": "tiff"}])
def test_options_out_of_range_are_refused(options, tmp_path):
    with pytest.raises(InputError, match=r"--size|--format"):
        prepare(str(tmp_path), tmp_path / "out", **options)


class StopError(Exception):
    """Raised in the middle of a preparation."""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Photos, a folder with a preparation of them that was stopped, and its options."""
    root = tmp_path_factory.mktemp("stopped")
    make_photos(root / "photos", 40, 0)
    options = {"size": 8, "processes": 1}

    def stop(done, total):
        if done >= 36:
            raise StopError

    with pytest.raises(StopError):
        prepare(str(root / "photos"), root / "out", on_progress=stop, **options)
    return root / "photos", root / "out", options


def test_stopped_anywhere_it_goes_on_to_the_same_bytes(tmp_path):
    make_photos(tmp_path / "photos", 70, 40)
    options = {"size": 8, "processes": 2}
    whole = content(prepare(str(tmp_path / "photos"), tmp_path / "whole", **options).folder)
    out = tmp_path / "stopped"
    begun = []
    for stop_at in (20, 50, 90):

        def stop(done, total, stop_at=stop_at):
            begun.append(done)
            if done >= stop_at:
                raise StopError

        begun.clear()
        with pytest.raises(StopError):
            prepare(str(tmp_path / "photos"), out, on_progress=stop, **options)
        with pytest.raises(InputError, match="begun from another source"):
            prepare(str(tmp_path / "photos"), out, size=9)
    assert begun[0] >= 32  # it did not begin anew
    assert content(prepare(str(tmp_path / "photos"), out, **options).folder) == whole


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"PK\x03\x04 and no more"])
@pytest.mark.parametrize("file", ["plan.json", "state.npz", "train-00000.npz"])
def test_damaged_notes_of_a_stopped_preparation_are_named(file, content, stopped, tmp_path):
    photos, begun, options = stopped
    out = tmp_path / "out"
    subprocess.run(["cp", "-r", begun, out], check=True)
    (out / ".preparing" / file).write_bytes(content)
    with pytest.raises(InputError, match=rf"{file} is damaged: remove .*out and prepare again"):
        prepare(str(photos), out, **options)
    shutil.rmtree(out)
    assert prepare(str(photos), out, **options).report["splits"]


def test_ctrl_c_says_that_the_same_command_goes_on(stopped, tmp_path):
    photos, _, options = stopped

    def interrupt(done, total):
        if done >= 36:
            raise KeyboardInterrupt

    with pytest.raises(TrainingStopped, match=r"kept in .*out\. The same command goes on"):
        prepare(str(photos), tmp_path / "out", on_progress=interrupt, **options)
    begun = []
    prepare(str(photos), tmp_path / "out", on_progress=lambda *now: begun.append(now), **options)
    assert begun[0] == (32, 42)


def test_ctrl_c_while_processes_start_is_one_line(tmp_path):
    make_photos(tmp_path / "photos", 90, 0)
    command = [sys.executable, str(ROOT / "cli.py"), "prepare", str(tmp_path / "photos")]
    command += ["--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    started = []
    while len(started) < 2 and process.poll() is None:  # one of them keeps count of semaphores
        time.sleep(0.01)
        started = children.read_text().split()
    time.sleep(0.1)  # in the middle of its imports
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "Traceback" not in err and "goes on" in err.splitlines()[-1]


def test_a_long_name_of_the_source_is_cut(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / ("n" * 240), 6, 3)
    result = prepare("n" * 240, size=8, processes=1)
    assert result.folder == Path("prepared") / ("n" * 160)
    builder = tfds.builder_from_directory(str(result.folder))
    assert builder.info.splits["validation"].num_examples == 3


@pytest.mark.parametrize(
    ("classes", "words"),
    [("", "no training images can be read"), ("cat", "images of one class alone can be read")],
)
def test_images_that_cannot_be_read_leave_too_few_classes(classes, words, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        content = encoded(photo()) if name == classes else b"bad"
        (tmp_path / "photos" / name / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=rf"photos: {words}, at least two classes are needed"):
        prepare(str(tmp_path / "photos"), tmp_path / "out", size=8, processes=1)


def test_killed_it_leaves_no_process_behind_and_goes_on(tmp_path):
    make_photos(tmp_path / "photos", 90, 0)
    options = {"size": 8, "processes": 2}
    whole = content(prepare(str(tmp_path / "photos"), tmp_path / "whole", **options).folder)
    out = tmp_path / "killed"
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys, time\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from alexnet_tf.data.prepare.prepare import prepare\n"
        "def slow(done, total):\n"
        "    print(done, flush=True)\n"
        "    if done >= 50: time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        f"    prepare({str(tmp_path / 'photos')!r}, {str(out)!r}, size=8, processes=2,"
        " on_progress=slow)\n"
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    while int(process.stdout.readline()) < 50:
        pass
    family = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    with pytest.raises(InputError, match="another process is preparing"):
        prepare(str(tmp_path / "photos"), out, **options)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "prepared.json").exists()
    assert content(prepare(str(tmp_path / "photos"), out, **options).folder) == whole
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in family):
        assert time.monotonic() < deadline, "the workers of a killed process live on"
        time.sleep(0.1)


def test_on_a_full_disk_it_says_so_and_goes_on_when_there_is_room(tmp_path):
    make_photos(tmp_path / "photos", 60, 40)
    options = {"size": 64, "kind": "raw", "processes": 1}
    whole = content(prepare(str(tmp_path / "photos"), tmp_path / "whole", **options).folder)
    command = [sys.executable, str(ROOT / "cli.py"), "prepare", str(tmp_path / "photos")]
    command += ["--out", str(tmp_path / "full"), "--size", "64", "--format", "raw"]
    limited = ["sh", "-c", 'ulimit -f 100 && exec "$@"', "sh", *command]  # 50 or 100 KiB a file
    ended = subprocess.run(limited, capture_output=True, text=True)
    assert ended.returncode == 2
    line = ended.stderr.strip().splitlines()[-1]
    assert "full/photos-train.tfrecord-00000-of-00002: File too large" in line
    assert "the same command goes on" in line
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / "full").glob("*tfrecord*"))
    assert content(prepare(str(tmp_path / "photos"), tmp_path / "full", **options).folder) == whole


@pytest.mark.parametrize(
    ("said", "number"),
    [
        (tf.errors.ResourceExhaustedError, errno.ENOSPC),
        (tf.errors.OutOfRangeError, errno.EFBIG),
    ],
)
@pytest.mark.parametrize("method", ["write", "close"])
def test_what_tensorflow_says_of_a_full_disk_is_an_error_of_the_disk(
    method, said, number, tmp_path, monkeypatch
):
    class Full(tf.io.TFRecordWriter):
        pass

    def fail(*arguments):
        raise said(None, None, "full")

    setattr(Full, method, fail)
    make_photos(tmp_path / "photos", 6, 0)
    monkeypatch.setattr("tensorflow.io.TFRecordWriter", Full)
    with pytest.raises(OSError, match="the same command goes on") as raised:
        prepare(str(tmp_path / "photos"), tmp_path / "out", size=8, processes=1)
    assert raised.value.errno == number
    assert raised.value.filename.endswith("photos-train.tfrecord-00000-of-00001")


def test_tfds_reads_class_names_that_differ_in_spaces_alone(tmp_path):
    for number, name in enumerate((" ", "cat", "cat ")):
        path = tmp_path / "photos" / name / f"{number}.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(encoded(photo(seed=number)))
    result = prepare(str(tmp_path / "photos"), tmp_path / "out", size=8, processes=1)
    label = tfds.builder_from_directory(str(result.folder)).info.features["label"]
    assert label.names == list(open_dataset(result.folder).class_names)
    assert label.names == ["unnamed", "cat", "cat (2)"]
    assert {"problem": "class name with spaces at an end", "action": "named 'cat (2)'"}.items() <= (
        result.report["problems"][1].items()
    )


@pytest.mark.parametrize(
    ("free", "words"),
    [(30_000, r"82\.9 kB are needed and 30\.0 kB are free"), (7, r"82\.9 kB .* 7 bytes are free")],
)
def test_pixels_that_will_not_fit_are_refused_before_anything_is_written(
    free, words, tmp_path, monkeypatch
):
    make_photos(tmp_path / "photos", 40, 6)
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage if path == tmp_path else None)
    out = tmp_path / "new" / "out"
    with pytest.raises(InputError, match=words):
        prepare(str(tmp_path / "photos"), out, size=SIZE, kind="raw")
    assert not out.parent.exists()
    # What the message advises does it.
    assert prepare(str(tmp_path / "photos"), out, size=SIZE).report["splits"]


def test_an_image_that_crashes_the_decoder_costs_that_image_alone(tmp_path, monkeypatch):
    items = []
    for i in range(12):
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
        items.append(Item(f"{i}.png", 0, 0, 0))
    tasks = [Task(str(tmp_path), tuple(items[at : at + 4]), 4, "raw") for at in (0, 4, 8)]
    (tmp_path / "crashing.py").write_text(
        "import os, signal\n"
        "from alexnet_tf.data.prepare import work\n"
        "def do_task(task):\n"
        "    if any(item.name == '2.png' for item in task.items):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return work.do_task(task)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    crashing = importlib.import_module("crashing")
    monkeypatch.setattr(work_module, "do_task", crashing.do_task)
    outcomes = [outcome for chunk in do_tasks(tasks, 2) for outcome in chunk.outcomes]
    assert [outcome.item for outcome in outcomes] == items
    bad = [outcome for outcome in outcomes if outcome.encoded is None]
    assert [outcome.item.name for outcome in bad] == ["2.png"]
    assert bad[0].problems == (("the decoder crashed on it", "skipped"),)


def test_a_script_that_its_own_processes_run_again_is_told_so(tmp_path):
    make_photos(tmp_path / "photos", 6, 0)
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from alexnet_tf.data.prepare.prepare import prepare\n"
        f"prepare({str(tmp_path / 'photos')!r}, {str(tmp_path / 'out')!r}, size=8,"
        " processes=1)\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert "InputError: the processes that prepare images end as they start" in last
    assert "__main__" in last
    assert not (tmp_path / "out" / "prepared.json").exists()


def test_a_tfds_set_is_prepared(tmp_path, monkeypatch):
    make_photos(tmp_path / "photos", 12, 6)
    made = prepare(str(tmp_path / "photos"), tmp_path / "tfds" / "toy" / "1.0.0", size=20)
    builder = tfds.builder_from_directory(str(made.folder))
    monkeypatch.setattr("alexnet_tf.data.tfds_source._find", lambda name, data_dir: builder)
    again = prepare("toy", tmp_path / "again", size=10)
    (tmp_path / "tfds").rename(tmp_path / "elsewhere")
    moved = tfds.builder_from_directory(str(tmp_path / "elsewhere" / "toy" / "1.0.0"))
    monkeypatch.setattr("alexnet_tf.data.tfds_source._find", lambda name, data_dir: moved)
    assert prepare("toy", tmp_path / "again", size=10).was_done
    (tmp_path / "elsewhere").rename(tmp_path / "tfds")
    assert again.report["splits"]["train"]["images"] == 13
    assert again.report["problems"] == []
    first, second = (open_dataset(folder).splits["train"] for folder in (made.folder, again.folder))
    assert sorted(first.labels) == sorted(second.labels)


def test_grey_images_and_other_sizes_come_out_as_asked(done):
    _, result, _ = done
    grey = open_dataset(result.folder, channels=1).splits["train"]
    assert grey.load(tf.constant(0, tf.int64)).shape == (SIZE, SIZE, 1)
    assert fit_statistics(grey, 16, cache=False).mean_image.shape == (16, 16, 1)


def test_a_set_that_is_not_all_there_is_named(done, tmp_path):
    _, result, _ = done
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", result.folder, copy], check=True)
    shard = next(copy.glob("*train.tfrecord*"))
    os.truncate(shard, shard.stat().st_size - 1)
    with pytest.raises(InputError, match=shard.name):
        _ = open_dataset(copy).splits["train"]
    index = copy / "index-validation.npz"
    os.truncate(index, index.stat().st_size // 2)
    with pytest.raises(InputError, match=r"index-validation\.npz"):
        _ = open_dataset(copy).splits["validation"]
    (copy / "index-validation.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"index-validation\.npz"):
        _ = open_dataset(copy).splits["validation"]
    (copy / "prepared.json").write_text("{")
    with pytest.raises(InputError, match=r"prepared\.json is damaged"):
        open_dataset(copy)


@pytest.mark.parametrize("lost", ["*train.tfrecord*", "index-train.npz", "report.json"])
def test_prepared_again_it_sees_what_is_not_there(lost, done, tmp_path):
    photos, result, kind = done
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", result.folder, copy], check=True)
    file = next(copy.glob(lost))
    file.unlink()
    with pytest.raises(InputError, match=f"{file.name} is missing or cut short: remove .*copy and"):
        prepare(str(photos), copy, size=SIZE, kind=kind)


def test_a_damaged_report_is_named(done, tmp_path):
    photos, result, kind = done
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", result.folder, copy], check=True)
    (copy / "report.json").write_text("{")
    with pytest.raises(InputError, match=r"report\.json is damaged: remove .*copy and prepare"):
        prepare(str(photos), copy, size=SIZE, kind=kind)
