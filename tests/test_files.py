"""Paths, atomic writes and strict JSON."""

import json
import os
from pathlib import Path

import pytest

from alexnet_tf import files
from alexnet_tf.errors import InputError

ADDRESSES = [
    "gs://b/x",
    "S3://b/x",
    "https://example.org/a.zip",
    "hdfs://h/x",
    "file:///x",
    "a+b://c",
]
LOCAL = [
    "runs/first",
    "./gs:x",
    "/data",
    "cifar10:3.0.2",
    "c:/runs",
    r"C:\runs",
    "a:/b",
    "~/x",
    "x//y",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_are_refused_and_make_no_folder(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for use in (files.expanded, lambda path: files.write_text(path, "x"), files.check_picture_name):
        with pytest.raises(InputError, match="not supported"):
            use(address)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["gs://b/x", "s3://b/x", "https://h/x", "file:///x"])
def test_addresses_are_refused_as_path_objects_too(address):
    with pytest.raises(InputError, match=r"--out .*not supported"):
        files.check_local_path(Path(address), "--out")


@pytest.mark.parametrize("path", LOCAL)
def test_local_paths_are_accepted(path):
    files.check_local_path(path)


def test_json_with_nan_is_written_as_null(tmp_path):
    files.write_json(tmp_path / "a.json", {"loss": float("nan"), "rates": (1.0, float("inf"))})
    values = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert values == {"loss": None, "rates": [1.0, None]}


@pytest.mark.parametrize("name", ["\u732b", "caf\udce9", "\ud800"])
def test_checksummed_json_keeps_any_name_and_detects_a_changed_byte(name, tmp_path):
    path = tmp_path / "run.json"
    files.write_sealed_json(path, {"folder": name, "loss": float("nan")})
    assert files.read_sealed_json(path) == {"folder": name, "loss": None}
    path.write_bytes(path.read_bytes().replace(b"folder", b"golder"))
    with pytest.raises(files.DamagedFileError, match="checksum mismatch"):
        files.read_sealed_json(path)


def test_text_with_names_that_are_not_utf_8_is_written_escaped(tmp_path):
    files.write_text(tmp_path / "a.txt", "caf\udce9")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == r"caf\udce9"


def test_text_has_the_same_line_ends_on_every_system(tmp_path, monkeypatch):
    write = Path.write_text

    def write_as_windows_does(path, text, encoding=None, errors=None, newline=None):
        return write(path, text, encoding, errors, "\r\n" if newline is None else newline)

    monkeypatch.setattr(Path, "write_text", write_as_windows_does)
    files.write_sealed_json(tmp_path / "run.json", {"epochs": 1})
    assert files.read_sealed_json(tmp_path / "run.json") == {"epochs": 1}


def test_atomic_path_flushes_a_file_that_is_open_for_writing(tmp_path, monkeypatch):
    flushed = []
    # Writing nothing fails if the file is open for reading only, as flushing does on Windows.
    monkeypatch.setattr(os, "fsync", lambda file: flushed.append(os.write(file, b"")))
    files.write_text(tmp_path / "a.txt", "a")
    assert flushed == [0]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("caf\u00e9", "caf\u00e9"),
        (os.fsdecode("caf\u00e9".encode()), "caf\u00e9"),
        ("\udcc3\udca9", "\u00e9"),  # as a C locale decodes it
        ("\u72d7".encode("gbk").decode("utf-8", "surrogateescape"), r"\xb9\xb7"),
        ("a\nb", r"a\nb"),
        ("\ud800", r"\ud800"),
    ],
)
def test_printable_escapes_bytes_that_are_not_utf_8(name, shown):
    assert files.printable(name) == shown


def test_paths_that_are_not_utf_8_are_refused_by_name():
    files.check_utf8_path("\u72d7/run", "--out")
    with pytest.raises(InputError, match=r"--out .*/\\xb9\\xb7: .* not UTF-8"):
        files.check_utf8_path(os.fsdecode("\u72d7".encode("gbk")), "--out")
    with pytest.raises(InputError, match=r"not UTF-8: rename it$"):
        files.check_utf8_path("\ud800", "--out")
    # In an ASCII locale Python reads every byte of a name in UTF-8 as a surrogate.
    name = "\u72d7".encode().decode("ascii", "surrogateescape")
    with pytest.raises(InputError, match=r"/\u72d7: .* locale is not UTF-8: set LC_ALL=C\.UTF-8$"):
        files.check_utf8_path(name, "--out")
