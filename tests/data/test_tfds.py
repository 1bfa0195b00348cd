"""TFDS sets: reading them, preparing them, and refusing in time."""

import io
import urllib.error

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from alexnet_tf.data import tfds as tfds_data
from alexnet_tf.data.examples import ArrayExamples
from alexnet_tf.data.records import RecordExamples
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.statistics import fit_statistics
from alexnet_tf.errors import InputError


def toy(split, index, size):
    """Returns the example that the toy sets below hold."""
    rng = np.random.default_rng((len(split), index))
    height, width = size if size else rng.integers(6, 20, 2)
    return rng.integers(0, 256, (height, width, 3), np.uint8), index % 3


class _Toys(tfds.core.GeneratorBasedBuilder):
    """Images with a label, and a feature that is in the way."""

    VERSION = tfds.core.Version("1.0.0")
    SIZE: tuple[int, int] | None = None

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(*(self.SIZE or (None, None)), 3)),
            "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
            "note": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in ("train", "val", "other")}

    def _generate_examples(self, split):
        for index in range(12):
            encoded = io.BytesIO()
            image, label = toy(split, index, self.SIZE)
            Image.fromarray(image).save(encoded, "png")
            encoded.seek(0)
            yield index, {"image": encoded, "label": label, "note": f"{split} {index}"}


class EqualToys(_Toys):
    """Toys of one size."""

    SIZE = (7, 9)


class VariedToys(_Toys):
    """Toys of many sizes."""


class WordToys(_Toys):
    """No images."""

    def _info(self):
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, features=features)


def expected(split, size):
    return {image.tobytes(): label for image, label in (toy(split, i, size) for i in range(12))}


def load(examples, index):
    return examples.load(tf.constant(index, tf.int64)).numpy()


@pytest.mark.parametrize(
    ("name", "size", "in_memory_bytes", "kind"),
    [
        ("equal_toys", (7, 9), 2**30, ArrayExamples),
        ("equal_toys", (7, 9), 100, RecordExamples),
        ("varied_toys", None, 2**30, RecordExamples),
    ],
)
def test_every_example_by_its_index(name, size, in_memory_bytes, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_data, "IN_MEMORY_BYTES", in_memory_bytes)
    data = open_dataset(name, data_dir=tmp_path)
    assert list(data.splits) == ["train", "validation"]
    assert data.class_names == ("a", "b", "c")
    for ours, theirs in (("train", "train"), ("validation", "val")):
        examples = data.splits[ours]
        assert isinstance(examples, kind)
        got = {load(examples, i).tobytes(): examples.labels[i] for i in range(len(examples))}
        assert got == expected(theirs, size)
    subset = examples.subset(np.array([5, 2]))
    np.testing.assert_array_equal(load(subset, 0), load(examples, 5))
    assert subset.name(1) == examples.name(2)
    assert subset.fingerprint() != examples.fingerprint()


def test_records_and_arrays_are_the_same_in_the_same_order(tmp_path, monkeypatch):
    arrays = open_dataset("equal_toys", data_dir=tmp_path, channels=1).splits["train"]
    monkeypatch.setattr(tfds_data, "IN_MEMORY_BYTES", 0)
    records = open_dataset("equal_toys", data_dir=tmp_path, channels=1).splits["train"]
    np.testing.assert_array_equal(records.labels, arrays.labels)
    in_map = tf.data.Dataset.range(12).map(records.load, num_parallel_calls=4)
    np.testing.assert_array_equal(np.stack(list(in_map.as_numpy_iterator())), arrays.images)


def test_statistics_of_records(tmp_path):
    examples = open_dataset("varied_toys", data_dir=tmp_path).splits["train"]
    statistics, scan = fit_statistics(examples, 6)
    np.testing.assert_array_equal(scan.examples.labels, examples.labels)
    assert statistics.mean_image.shape == (6, 6, 3)


def test_a_shard_cut_short_is_named(tmp_path):
    data = open_dataset("varied_toys", data_dir=tmp_path)
    shard = next(tmp_path.rglob("*train.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(InputError, match=f"{shard.name} is cut short"):
        data.splits["train"]


def test_a_damaged_record_is_one_line(tmp_path):
    data = open_dataset("equal_toys", data_dir=tmp_path)
    shard = next(tmp_path.rglob("*train.tfrecord*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    shard.write_bytes(content)
    with pytest.raises(InputError, match=rf"train is damaged: remove {shard.parent} and .* again"):
        data.splits["train"]


@pytest.mark.parametrize("name", ["equal_toys", "varied_toys"])
def test_a_shard_that_is_gone_is_named(name, tmp_path):
    data = open_dataset(name, data_dir=tmp_path)
    shard = next(tmp_path.rglob("*train.tfrecord*"))
    shard.unlink()
    with pytest.raises((InputError, FileNotFoundError)) as refused:
        data.splits["train"]
    assert str(shard.parent) in str(refused.value)


@pytest.mark.parametrize("content", [b"\xff" * 40, b""])
def test_a_record_that_is_no_example_is_one_line(content, tmp_path):
    data = open_dataset("varied_toys", data_dir=tmp_path)
    shard = next(tmp_path.rglob("*train.tfrecord*"))
    with tf.io.TFRecordWriter(str(shard)) as writer:
        writer.write(content)
    with pytest.raises(InputError, match=f"{shard.name} is damaged: prepare the data set again"):
        data.splits["train"]


def test_a_set_without_images(tmp_path):
    with pytest.raises(InputError, match="word_toys is not an image classification data set"):
        open_dataset("word_toys", data_dir=tmp_path)
    assert not any(tmp_path.iterdir())


def test_an_unknown_name_is_answered_with_close_ones(tmp_path):
    with pytest.raises(InputError, match=r"unknown data set 'cifar_10'.*did you mean.*cifar10"):
        open_dataset("cifar_10", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("equal_toys:9.0.0", "1.0.0"),
        ("equal_toys/none", "none"),
        ("people:toys", "version"),
        ("two words", "two words"),
    ],
)
def test_versions_and_configs_that_are_not_there(name, says, tmp_path):
    with pytest.raises(InputError, match=says) as caught:
        open_dataset(name, data_dir=tmp_path)
    assert "\n" not in str(caught.value)


def unreachable(error):
    def urlopen(request, timeout):
        raise error

    return urlopen


def test_offline_is_refused_at_once_naming_the_data_folder(tmp_path, monkeypatch):
    error = urllib.error.URLError("no network")
    monkeypatch.setattr(urllib.request, "urlopen", unreachable(error))
    with pytest.raises(InputError) as caught:
        open_dataset("mnist", data_dir=tmp_path)
    message = str(caught.value)
    assert "storage.googleapis.com not reachable" in message
    assert "--data-dir" in message
    assert str(tmp_path) in message
    assert not any(tmp_path.iterdir())


def test_a_failed_download_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_data, "any_reachable", lambda _: True)

    def fail(self):
        raise tfds.core.download.DownloadError("Failed to get url. HTTP code: 404.\nmore")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(InputError, match=r"download failed: Failed to get url\. HTTP code: 404\."):
        open_dataset("mnist", data_dir=tmp_path)


def test_a_full_disk_is_not_called_a_network_error(tmp_path, monkeypatch):
    def fail(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(OSError, match="No space left"):
        open_dataset("equal_toys", data_dir=tmp_path)


def test_a_set_to_be_downloaded_by_hand_says_where(tmp_path):
    with pytest.raises(InputError, match=r"downloaded by hand into .*manual.*--data-dir"):
        open_dataset("imagenet2012", data_dir=tmp_path)
