"""Locks, reachable hosts, and cloud storage: a folder that epath reads as gs:// and s3://."""

import io
import sys
import threading
import time
import types
import urllib.error
import urllib.request
from pathlib import Path

import filelock
import numpy as np
import pytest
import tensorflow_datasets as tfds
from etils.epath import backend, gpath
from fsspec.implementations.local import LocalFileSystem

from alexnet_tf.console import ProgressReporter
from alexnet_tf.data import remote
from alexnet_tf.data.remote import any_reachable, locked
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.errors import InputError


class Storage(LocalFileSystem):
    """Files of `root`, as SCHEME://BUCKET/FILE; counts the files that were opened."""

    cachable = False

    def __init__(self, root):
        super().__init__()
        self.root, self.opened, self.broken = root, [], None

    def _strip_protocol(self, path):
        path = str(path)
        return f"{self.root}/{path.partition('://')[2]}" if "://" in path else path

    def _open(self, path, mode="rb", **options):
        self.opened.append(Path(path).name)
        if Path(path).name == self.broken:
            raise ConnectionError("the connection was reset\nby the peer")
        return super()._open(self._strip_protocol(path), mode, **options)


class RemoteToys(tfds.core.GeneratorBasedBuilder):
    """Six images of one size."""

    VERSION = tfds.core.Version("1.0.0")
    SHIFT = 0

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(4, 5, 3)),
                "label": tfds.features.ClassLabel(names=["a", "b"]),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self, features=features, description=f"shift {self.SHIFT}"
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in ("train", "test")}

    def _generate_examples(self):
        for index in range(6):
            yield (
                index,
                {"image": np.full((4, 5, 3), index + self.SHIFT, np.uint8), "label": index % 2},
            )


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """The storage, with the data set under bucket/tfds."""
    stored = Storage(tmp_path)
    RemoteToys(data_dir=tmp_path / "bucket" / "tfds").download_and_prepare()
    monkeypatch.setattr(gpath, "_is_tf_installed", lambda: False)
    monkeypatch.setattr(backend.fsspec_backend, "fs", lambda path: stored)
    monkeypatch.setitem(sys.modules, "s3fs", types.ModuleType("s3fs"))
    monkeypatch.setenv("EPATH_USE_TF", "0")
    return stored


def images(address="s3://bucket/tfds", **options):
    data = open_dataset("remote_toys", data_dir=address, **options)
    assert data.class_names == ("a", "b")
    return sorted(data.splits["train"].images[:, 0, 0, 0])


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_storage_is_copied_once_and_read_as_a_local_folder(scheme, storage):
    shown = io.StringIO()
    reporter = ProgressReporter(file=shown)
    for _ in range(2):
        assert images(f"{scheme}://bucket/tfds", reporter=reporter) == [0, 1, 2, 3, 4, 5]
    assert shown.getvalue().startswith(f"copying {scheme}://bucket/tfds/remote_toys/1.0.0 (")
    assert shown.getvalue().count("copying") == 1
    assert sum("tfrecord" in name for name in storage.opened) == 2


def test_tfds_data_dir_may_be_in_storage(storage, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "s3://bucket/tfds")
    assert images(None) == [0, 1, 2, 3, 4, 5]


def test_an_interrupted_copy_ends_in_one_line_and_is_resumed(storage):
    shards = sorted(path.name for path in storage.root.rglob("*.tfrecord*"))
    storage.broken = shards[-1]
    with pytest.raises(
        InputError, match=r"s3://bucket/tfds cannot be read \(the connection was reset\): check"
    ):
        images()
    storage.broken, storage.opened[:] = None, []
    assert images() == [0, 1, 2, 3, 4, 5]
    assert [name for name in storage.opened if "tfrecord" in name] == shards[-1:]


def test_a_data_set_prepared_again_is_copied_again(storage, monkeypatch):
    assert images() == [0, 1, 2, 3, 4, 5]
    stored = storage.root / "bucket" / "tfds" / "remote_toys"
    stored.rename(storage.root / "old")
    monkeypatch.setattr(RemoteToys, "SHIFT", 10)
    RemoteToys(data_dir=storage.root / "bucket" / "tfds").download_and_prepare()
    assert images() == [10, 11, 12, 13, 14, 15]


def test_a_data_set_that_is_not_prepared_in_storage_is_named(storage, cache_folder):
    with pytest.raises(InputError, match=r"remote_toys/1.0.0 is not prepared under s3://bucket/no"):
        images("s3://bucket/none")
    assert not cache_folder.exists()


def test_credentials_that_are_missing_end_in_one_line(storage, monkeypatch):
    class NoCredentialsError(Exception):
        """As botocore's: an error of its own kind."""

    def exists(path):
        raise NoCredentialsError("Unable to locate credentials")

    monkeypatch.setattr(storage, "exists", exists)
    with pytest.raises(InputError, match=r"read \(Unable to locate credentials\).*credentials$"):
        images()


def test_a_disk_without_space_is_named_before_copying(storage, monkeypatch):
    monkeypatch.setattr(remote.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=10))
    with pytest.raises(InputError, match=r"copying s3://bucket/tfds.*0\.0 MB free: set XDG_CACHE"):
        images()
    assert not any("tfrecord" in name for name in storage.opened)


def test_s3_without_s3fs_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match=r"s3:// needs s3fs: pip install 'alexnet-tf\[s3\]'"):
        images()


@pytest.mark.parametrize("address", ["https://host/tfds", "hdfs://bucket/tfds", "file:///tfds"])
def test_other_addresses_are_refused(address):
    with pytest.raises(InputError, match="give a local folder, gs:// or s3://"):
        images(address)


def unreachable(error):
    def urlopen(request, timeout):
        raise error

    return urlopen


def test_a_network_that_never_answers_is_given_up_in_time(monkeypatch):
    over = threading.Event()

    def urlopen(request, timeout):
        over.wait(30)
        raise urllib.error.URLError("at last")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    started = time.perf_counter()
    assert not any_reachable(("http://a.test/x", "http://b.test/y"), seconds=0.2)
    assert time.perf_counter() - started < 5
    over.set()


def test_any_answer_is_an_answer(monkeypatch):
    refused = urllib.error.HTTPError("http://a.test", 403, "Forbidden", {}, None)
    monkeypatch.setattr(urllib.request, "urlopen", unreachable(refused))
    assert any_reachable(("http://a.test/x",))


def test_locked_waits_for_the_process_that_prepares_and_says_so(tmp_path):
    path, shown, entered = tmp_path / "new" / ".set.lock", io.StringIO(), threading.Event()

    def wait():
        with locked(path, "cifar10", ProgressReporter(file=shown)):
            entered.set()

    path.parent.mkdir()
    with filelock.FileLock(path):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not entered.wait(0.3)
    thread.join(10)
    assert entered.is_set()
    assert shown.getvalue() == "waiting for another process that prepares cifar10\n"
