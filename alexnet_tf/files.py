"""Files that are there whole or not at all: written beside, then renamed."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alexnet_tf.errors import InputError

PICTURE_ENDINGS = (".png", ".pdf", ".svg")
_SEAL = "sha256"
_BLANK = "0" * 64  # what stands in the place of the checksum while it is computed


class DamagedFileError(ValueError):
    """A file is not what was written; the message says in what way."""


def expanded(path: str | os.PathLike[str]) -> Path:
    """Returns a path with ~ and ~user replaced; where there is no such user, as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def check_picture_name(path: str | os.PathLike[str], option: str = "--picture") -> None:
    """Checks that a picture's file name ends in a format that can be drawn, in a folder that is.

    Args:
      path: The picture's.
      option: That named it, for the message.

    Raises:
      InputError: It does not.
    """
    path = Path(path)
    if path.suffix.lower() not in PICTURE_ENDINGS:
        raise InputError(f"{option} {path}: the name must end in .png, .pdf or .svg")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{option} {path}: there is no folder {path.parent}")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and renames it to `path` when the block succeeds.

    The temporary name keeps the suffix, since savers choose their format by it. If the block fails
    the temporary file is removed and what stood at `path` stays as it was.

    Args:
      path: The file to write. Its folder must exist.

    Yields:
      The path to write to.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.writing{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename = str(path)  # the name that the user knows
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_sealed_json(path: str | os.PathLike[str], value: dict[str, Any]) -> None:
    """Writes `value` as `write_json` does, with a checksum of the whole file as its last entry."""
    text = json.dumps({**value, _SEAL: _BLANK}, indent=2, ensure_ascii=False) + "\n"
    before, _, after = text.rpartition(_BLANK)
    write_text(path, before + sha256(text.encode()) + after)


def read_sealed_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns what `write_sealed_json` wrote, without the checksum.

    Raises:
      FileNotFoundError: There is no such file.
      DamagedFileError: A byte of it is not as it was written, or it has no checksum.
    """
    try:
        text = Path(path).read_bytes().decode()
        value = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DamagedFileError(str(error)) from None
    seal = value.pop(_SEAL, None) if isinstance(value, dict) else None
    if not isinstance(seal, str) or len(seal) != len(_BLANK):
        raise DamagedFileError("it has no checksum, or was written by an earlier version")
    before, _, after = text.rpartition(seal)
    if sha256((before + _BLANK + after).encode()) != seal:
        raise DamagedFileError("its checksum is another")
    return dict(value)


def sha256(content: bytes) -> str:
    """Returns the SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def printable(name: str) -> str:
    """Returns a file's name in one line of valid Unicode, whatever bytes it has."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
