"""Paths, atomic writes and strict JSON. A written file is complete or absent."""

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alexnet_tf.errors import InputError

PICTURE_ENDINGS = (".png", ".pdf", ".svg")
IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
STORAGE = ("gs://", "s3://")  # addresses that --data-dir takes
NO_ADDRESSES = (
    "addresses (gs://, s3://, https:// ...) are not supported here: give a local path; --data-dir "
    "alone also takes gs:// and s3://"
)
_CHECKSUM = "sha256"
_BLANK = "0" * 64  # stands in place of the checksum while it is computed
# `Path` makes gs:/bucket of gs://bucket, and Databricks writes dbfs:/folder.
_SCHEMES = "abfss?|az|dbfs|file|ftp|gcs?|gs|hdfs|https?|memory|s3[an]?|viewfs|wasbs?"
_ADDRESS = re.compile(rf"(?:[a-z][a-z0-9+.-]+://|(?:{_SCHEMES}):/)", re.IGNORECASE)


class DamagedFileError(ValueError):
    """A file's content is not what was written; the message says how it differs."""


def is_image(name: str) -> bool:
    """Returns whether a file has an image extension and is not hidden."""
    base = Path(name).name
    return base.lower().endswith(IMAGE_EXTENSIONS) and not base.startswith(".")


def check_local_path(path: str | os.PathLike[str], option: str = "") -> None:
    """Checks that a path is not an address such as gs://bucket/run, which is not supported.

    Without the check, a local folder called `gs:` would be made.

    Args:
      path: What the user gave.
      option: The option that takes it, for the message.

    Raises:
      InputError: The path begins with a scheme.
    """
    text = os.fspath(path)
    if is_address(text):
        raise InputError(f"{option} {text}: {NO_ADDRESSES}".lstrip())


def is_address(text: str | bytes) -> bool:
    """Returns whether a path begins with a scheme, as gs://bucket/run does."""
    return _ADDRESS.match(os.fsdecode(text)) is not None


def expanded(path: str | os.PathLike[str], option: str = "") -> Path:
    """Returns a path with ~ and ~user replaced; unchanged if the user does not exist.

    Args:
      path: What the user gave.
      option: The option that takes it, for the message.

    Raises:
      InputError: The path is an address such as gs://bucket/run.
    """
    check_local_path(path, option)
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def check_utf8_path(path: str | os.PathLike[str], option: str) -> None:
    """Checks that a path is UTF-8 text, which TensorFlow, TFDS and a run's record need.

    Args:
      path: What the user gave.
      option: The option that takes it, for the message.

    Raises:
      InputError: Its bytes are not UTF-8, as on Linux after unpacking a GBK archive, or the
        locale's encoding is another.
    """
    absolute = str(Path(path).absolute())
    try:
        absolute.encode()
    except UnicodeEncodeError:
        raise InputError(f"{option} {printable(absolute)}: {_utf8_remedy(absolute)}") from None


def _utf8_remedy(path: str) -> str:
    """Returns why a path is not UTF-8 text, and what to do."""
    try:
        path.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:
        return "the bytes of this path are not UTF-8: rename it"
    return "the encoding of the locale is not UTF-8: set LC_ALL=C.UTF-8"


def check_picture_name(path: str | os.PathLike[str], option: str = "--picture") -> None:
    """Checks that a picture can be written: its format is known and its folder exists.

    Args:
      path: The picture's file.
      option: The option that named it, for the message.

    Raises:
      InputError: It cannot.
    """
    check_local_path(path, option)
    path = Path(path)
    if path.suffix.lower() not in PICTURE_ENDINGS:
        raise InputError(f"{option} {path}: the name must end in {', '.join(PICTURE_ENDINGS)}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{option} {path}: folder {path.parent} not found")


def is_writable(folder: str | os.PathLike[str]) -> bool:
    """Returns whether files can be made in a folder, or in the one above if it does not exist."""
    path = Path(folder).absolute()
    return os.access(path if path.exists() else path.parent, os.W_OK | os.X_OK)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which replaces `path` if the block succeeds.

    The temporary name keeps the suffix, since savers choose their format by it. If the block fails,
    the temporary file is removed and `path` is left as it was.

    Args:
      path: The file to write. Its folder must exist.

    Yields:
      The path to write to.

    Raises:
      InputError: The path is an address such as gs://bucket/run.
      OSError: It cannot be written; the error names `path`.
    """
    check_local_path(path)
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.writing{path.suffix}")
    try:
        yield temporary
        with temporary.open("r+b") as file:  # Windows flushes only files that are open for writing
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename = str(path)  # the name that the user knows
        raise
    finally:
        temporary.unlink(missing_ok=True)


def has_files(folder: Path) -> bool:
    """Returns whether a folder or one of its subfolders has a file or a link."""
    return any(
        files or any((Path(parent) / name).is_symlink() for name in folders)
        for parent, folders, files in os.walk(folder)
    )


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` atomically as UTF-8; bytes of file names that are not UTF-8 are escaped."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, "utf-8", "backslashreplace", newline="\n")  # also on Windows


def to_json(value: Any, *, indent: int | None = None, encoding: str = "utf-8") -> str:
    """Returns strict JSON: NaN and infinity, which JSON does not have, become null.

    Args:
      value: Plain values.
      indent: Spaces per level; None: one line.
      encoding: Of the file. Text is escaped if it cannot be encoded, as file names may not be.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        value = _without_nan(value)
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent, allow_nan=False)
    return text


def _without_nan(value: Any) -> Any:
    """Returns plain values with None in place of NaN and infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    return [_without_nan(each) for each in value] if isinstance(value, list | tuple) else value


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` atomically as strict, indented JSON."""
    write_text(path, to_json(value, indent=2) + "\n")


def write_sealed_json(path: str | os.PathLike[str], value: dict[str, Any]) -> None:
    """Writes `value` as `write_json` does, with a checksum of the file as its last entry."""
    text = to_json({**value, _CHECKSUM: _BLANK}, indent=2) + "\n"
    before, _, after = text.rpartition(_BLANK)
    write_text(path, before + sha256(text.encode()) + after)


def read_sealed_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns what `write_sealed_json` wrote, without the checksum.

    Raises:
      FileNotFoundError: The file does not exist.
      DamagedFileError: The file has changed since it was written, or has no checksum.
    """
    try:
        text = Path(path).read_bytes().decode()
        value = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DamagedFileError(str(error)) from None
    checksum = value.pop(_CHECKSUM, None) if isinstance(value, dict) else None
    if not isinstance(checksum, str) or len(checksum) != len(_BLANK):
        raise DamagedFileError("it has no checksum, or was written by an earlier version")
    before, _, after = text.rpartition(checksum)
    if sha256((before + _BLANK + after).encode()) != checksum:
        raise DamagedFileError("checksum mismatch")
    return dict(value)


def folder_bytes(path: str | os.PathLike[str]) -> int:
    """Returns the bytes of the files in a folder; files with several names count once."""
    files = {}
    for file in Path(path).rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            status = file.lstat()
            files[status.st_dev, status.st_ino] = status.st_size
    return sum(files.values())


def format_megabytes(count: int) -> str:
    """Returns 1012345678 bytes as "1,012.3 MB"."""
    return f"{count / 1e6:,.1f} MB"


def sha256(content: bytes) -> str:
    """Returns the SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def printable(name: str) -> str:
    """Returns a file's name in one line of valid Unicode, whatever bytes it has."""
    try:
        text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte, as names on Windows may have
        text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
