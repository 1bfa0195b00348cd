"""`prepare` from end to end: the written files, repeated calls, rejected folders."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hostile import encoded, photo
from photos import content, make_photos
from PIL import Image

from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.statistics import fit_statistics
from alexnet_tf.errors import InputError
from alexnet_tf.prepare import prepare as prepare_module
from alexnet_tf.prepare.prepare import prepare
from alexnet_tf.prepare.repair import repair

SIZE = 24


@pytest.fixture(scope="module", params=["jpeg", "raw"])
def done(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    make_photos(root / "photos")
    result = prepare(str(root / "photos"), root / "out", size=SIZE, kind=request.param, processes=2)
    return root / "photos", result, request.param


def pixels_by_name(photos):
    names = (path for path in photos.rglob("*.jpg") if path.name != "bad.jpg")
    return {
        str(path.relative_to(photos)): repair(path.read_bytes(), path.name, SIZE).pixels
        for path in names
    }


def test_every_example_is_written_with_its_label(done):
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


def test_tfds_reads_the_prepared_set(done):
    _, result, kind = done
    builder = tfds.builder_from_directory(str(result.folder))
    assert builder.info.features["label"].names == ["cat", "dog", "wild boar"]
    ours = open_dataset(result.folder)
    for split, examples in ours.splits.items():
        theirs = {
            row["file"].decode(): (row["image"], row["label"])
            for row in builder.as_dataset(split=split).as_numpy_iterator()
        }
        as_stored = {
            row["file"].decode(): row["image"]
            for row in builder.as_dataset(
                split=split, decoders={"image": tfds.decode.SkipDecoding()}
            ).as_numpy_iterator()
        }
        assert len(theirs) == builder.info.splits[split].num_examples == len(examples)
        for i in range(len(examples)):
            image, label = theirs[examples.name(i)]
            assert label == examples.labels[i]
            loaded = examples.load(tf.constant(i, tf.int64)).numpy()
            stored = as_stored[examples.name(i)]
            if kind == "jpeg":  # ours is Pillow's, TFDS takes the default DCT
                np.testing.assert_array_equal(loaded, Image.open(io.BytesIO(stored)))
                np.testing.assert_array_equal(image, tf.io.decode_jpeg(stored, channels=3))
            else:
                np.testing.assert_array_equal(loaded, image)


def test_statistics_match_those_of_the_training_images(done):
    _, result, kind = done
    examples = open_dataset(result.folder).splits["train"]
    stored, scan = fit_statistics(examples, SIZE, cache=False)
    examples.stored_statistics = None
    fitted, _ = fit_statistics(examples, SIZE, cache=False)
    tolerance = 1e-4 if kind == "raw" else 3.0  # JPEG comes after the sums
    np.testing.assert_allclose(stored.mean_image, fitted.mean_image, atol=tolerance * 4)
    np.testing.assert_allclose(stored.rgb_stds, fitted.rgb_stds, atol=tolerance)
    if kind == "raw":
        assert scan.examples is examples  # memory-mapped pixels need no second copy
        np.testing.assert_allclose(stored.rgb_eigenvectors, fitted.rgb_eigenvectors, atol=1e-6)


def test_report_counts_images_sizes_and_duplicates(done):
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


@pytest.mark.slow
def test_prepare_does_not_initialize_devices(tmp_path):
    make_photos(tmp_path / "photos")
    code = (
        "import sys\n"
        "from alexnet_tf.system import import_tensorflow\n"
        "import_tensorflow(start_devices=False)\n"
        "import tensorflow as tf\n"
        "from alexnet_tf.prepare.prepare import prepare\n"
        "print(prepare(sys.argv[1], sys.argv[2], size=24).report['duplicates']['groups'])\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "two = [tf.config.LogicalDeviceConfiguration()] * 2\n"
        "tf.config.set_logical_device_configuration(cpu, two)\n"  # RuntimeError once fixed
    )
    words = [sys.executable, "-c", code, str(tmp_path / "photos"), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_prepare_again_does_nothing(done, monkeypatch):
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


def test_out_with_other_files_is_rejected_and_unchanged(tmp_path):
    make_photos(tmp_path / "photos", 6, 0)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        prepare(str(tmp_path / "photos"), tmp_path / "out", size=8)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_out_inside_the_source_is_rejected_before_writing(tmp_path, monkeypatch):
    make_photos(tmp_path / "photos", 6, 0)
    before = content(tmp_path)
    with pytest.raises(InputError, match=r"is inside .*photos: prepare it with --out and a"):
        prepare(str(tmp_path / "photos"), tmp_path / "photos" / "out", size=8)
    monkeypatch.chdir(tmp_path / "photos")
    with pytest.raises(InputError, match="is inside"):
        prepare(".", size=8)
    assert content(tmp_path) == before


@pytest.mark.parametrize("options", [{"size": 0}, {"size": 5000}, {"kind": "tiff"}])
def test_options_out_of_range_are_rejected(options, tmp_path):
    with pytest.raises(InputError, match=r"--size|--format"):
        prepare(str(tmp_path), tmp_path / "out", **options)


def test_long_source_name_is_truncated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / ("n" * 240), 6, 3)
    result = prepare("n" * 240, size=8, processes=1)
    assert result.folder == Path("prepared") / ("n" * 160)
    builder = tfds.builder_from_directory(str(result.folder))
    assert builder.info.splits["validation"].num_examples == 3


@pytest.mark.parametrize(
    ("classes", "words"),
    [("", "no training images can be read"), ("cat", "images of only one class can be read")],
)
def test_too_few_readable_classes_are_rejected(classes, words, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        content = encoded(photo()) if name == classes else b"bad"
        (tmp_path / "photos" / name / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=rf"photos: {words}, at least two classes are needed"):
        prepare(str(tmp_path / "photos"), tmp_path / "out", size=8, processes=1)


def test_tfds_reads_class_names_that_differ_only_in_spaces(tmp_path):
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
def test_raw_images_that_do_not_fit_are_rejected_before_writing(free, words, tmp_path, monkeypatch):
    make_photos(tmp_path / "photos", 40, 6)
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage if path == tmp_path else None)
    out = tmp_path / "new" / "out"
    with pytest.raises(InputError, match=words):
        prepare(str(tmp_path / "photos"), out, size=SIZE, kind="raw")
    assert not out.parent.exists()
    # The remedy in the message works.
    assert prepare(str(tmp_path / "photos"), out, size=SIZE).report["splits"]


def test_tfds_set_is_prepared(tmp_path, monkeypatch):
    make_photos(tmp_path / "photos", 12, 6)
    made = prepare(str(tmp_path / "photos"), tmp_path / "tfds" / "toy" / "1.0.0", size=20)
    builder = tfds.builder_from_directory(str(made.folder))
    monkeypatch.setattr("alexnet_tf.data.tfds._find", lambda name, data_dir: builder)
    again = prepare("toy", tmp_path / "again", size=10)
    (tmp_path / "tfds").rename(tmp_path / "elsewhere")
    moved = tfds.builder_from_directory(str(tmp_path / "elsewhere" / "toy" / "1.0.0"))
    monkeypatch.setattr("alexnet_tf.data.tfds._find", lambda name, data_dir: moved)
    assert prepare("toy", tmp_path / "again", size=10).was_done
    (tmp_path / "elsewhere").rename(tmp_path / "tfds")
    assert again.report["splits"]["train"]["images"] == 13
    assert again.report["problems"] == []
    first, second = (open_dataset(folder).splits["train"] for folder in (made.folder, again.folder))
    assert sorted(first.labels) == sorted(second.labels)


def test_gray_images_and_other_sizes_are_read(done):
    _, result, _ = done
    gray = open_dataset(result.folder, channels=1).splits["train"]
    assert gray.load(tf.constant(0, tf.int64)).shape == (SIZE, SIZE, 1)
    assert fit_statistics(gray, 16, cache=False)[0].mean_image.shape == (16, 16, 1)


def test_opening_a_damaged_set_is_rejected(done, tmp_path):
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
def test_prepare_again_finds_missing_files(lost, done, tmp_path):
    photos, result, kind = done
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", result.folder, copy], check=True)
    file = next(copy.glob(lost))
    file.unlink()
    with pytest.raises(InputError, match=f"{file.name} is missing or .*: remove .*copy and"):
        prepare(str(photos), copy, size=SIZE, kind=kind)


@pytest.mark.parametrize("file", ["report.json", "index-train.npz"])
def test_prepare_again_finds_damaged_files(file, done, tmp_path):
    photos, result, kind = done
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", result.folder, copy], check=True)
    (copy / file).write_text("{")
    with pytest.raises(InputError, match=f"{file} is missing or damaged.*: remove .*copy and"):
        prepare(str(photos), copy, size=SIZE, kind=kind)
