"""Checkpoints: one safetensors file each, written atomically and verified when read.

`epoch-0003-step-00001234.safetensors` (3 epochs done, 1,234 updates) holds weights, slots and, as
JSON in its header, the state of the run. A file of the same name with `.sha256` holds its checksum,
in the format of `sha256sum -c`; without that file a checkpoint does not count.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from alexnet_tf.errors import InputError
from alexnet_tf.files import atomic_path, write_text

_KEPT = 2  # the newest and the one before it
_DEFAULT_EVERY = "10m"  # what a killed process may lose


class DamagedCheckpointError(InputError):
    """A checkpoint file is damaged, or all of them are."""


@dataclasses.dataclass(frozen=True)
class CheckpointEvery:
    """How often to save inside an epoch: every `steps` updates, `seconds`, or never."""

    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str | None) -> "CheckpointEvery":
        """Reads "500" (updates) or "10m" (minutes, the default).

        Raises:
          InputError: The text is neither, or the number is not above 0.
        """
        text = _DEFAULT_EVERY if text is None else text
        with contextlib.suppress(ValueError):
            if text.endswith("m") and float(text[:-1]) > 0:
                return cls(seconds=60 * float(text[:-1]))
            if int(text) > 0:
                return cls(steps=int(text))
        raise InputError(
            f"--checkpoint-every must be updates (500) or minutes (10m). Received: {text!r}"
        )


def write(folder: Path, tensors: dict[str, np.ndarray], state: dict[str, Any], run: str) -> Path:
    """Writes a checkpoint, removes all but the last two, and returns the checkpoint's path.

    The folder's parent must exist. `state` has plain values, among them "epoch" and "step", the
    numbers of epochs and updates done; `run` is the run's id.
    """
    folder.mkdir(exist_ok=True)  # not its parents: a run folder that was deleted stays so
    path = folder / _name(state)
    with atomic_path(path) as temporary:
        contiguous = {name: np.asarray(value, order="C") for name, value in tensors.items()}
        _save(contiguous, {"state": json.dumps({**state, "run": run})}, temporary)
        digest = _sha256(temporary)
        # An existing file of this name must not stand beside the new file's checksum.
        _checksum_file(path).unlink(missing_ok=True)
    write_text(_checksum_file(path), f"{digest}  {path.name}\n")
    keep_newest(folder, _KEPT)
    return path


def keep_newest(folder: Path, count: int) -> None:
    """Removes all checkpoints but the newest `count`."""
    kept = _complete(folder)[:count]
    for old in folder.glob("epoch-*.safetensors"):
        if old not in kept:
            remove(old)


def newest(folder: Path) -> Path | None:
    """Returns the newest checkpoint, intact or damaged, or None if there is none."""
    return next(iter(_complete(folder)), None)


def remove(path: Path) -> None:
    """Removes a checkpoint, its checksum first: without it a file is not a checkpoint."""
    _checksum_file(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def read_newest(
    folder: Path, run: str | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any], list[str]] | None:
    """Reads the newest intact checkpoint in a folder.

    A damaged one is renamed to `*.damaged` and the one before it is read; if none is intact, all
    stay as they are. Checkpoints of another run than `run`, its id, count as damaged.

    Returns:
      Tensors, state, and a warning about each damaged checkpoint; None without a checkpoint.

    Raises:
      DamagedCheckpointError: There are checkpoints and all of them are damaged.
    """
    damaged: dict[Path, str] = {}
    for path in _complete(folder):
        try:
            tensors, state = _read(path, run)
        except DamagedCheckpointError as error:
            damaged[path] = str(error)
            continue
        return tensors, state, [_set_aside(bad, why) for bad, why in damaged.items()]
    if damaged:  # nothing is renamed: it may be the run's record that is wrong
        raise DamagedCheckpointError(f"no checkpoint can be read: {'; '.join(damaged.values())}")
    return None


def _set_aside(path: Path, why: str) -> str:
    """Renames a damaged checkpoint and returns the warning about it."""
    aside = path.with_suffix(".damaged")
    path.replace(aside)
    _checksum_file(path).unlink()
    return f"{why}; set aside as {aside.name}"


def _save(tensors: dict[str, np.ndarray], metadata: dict[str, str], path: Path) -> None:
    """Writes a safetensors file; raises OSError if the system refuses, for example a full disk."""
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:
        # The library has the system's error number only in its message.
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        number = int(code.group(1))
        raise OSError(number, os.strerror(number), str(path)) from None


def _name(state: dict[str, Any]) -> str:
    return f"epoch-{state['epoch']:04d}-step-{state['step']:08d}.safetensors"


def _read(path: Path, run: str | None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads and verifies one checkpoint."""
    expected = _checksum_file(path).read_text(encoding="utf-8", errors="replace").split()
    if not expected or _sha256(path) != expected[0]:
        raise DamagedCheckpointError(f"{path} is damaged: checksum mismatch")
    try:
        with safe_open(path, framework="numpy") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DamagedCheckpointError(f"{path} is damaged: {error}") from None
    # An intact file with its checksum can still be in the wrong place.
    if path.name != _name(state):
        raise DamagedCheckpointError(f"{path} is damaged: inside it is {_name(state)}")
    owner = state.pop("run", run)
    if run is not None and owner != run:
        raise DamagedCheckpointError(f"{path} is another run's ({owner}, not {run})")
    return tensors, state


def _complete(folder: Path) -> list[Path]:
    """Returns the checkpoints that have their checksum, newest first."""

    def numbers(path: Path) -> list[int]:  # the epoch and the step: as text 10000 is before 9999
        return [int(number) for number in re.findall("[0-9]+", path.stem)]

    paths = sorted(folder.glob("epoch-*.safetensors"), key=numbers, reverse=True)
    return [path for path in paths if _checksum_file(path).is_file()]


def _checksum_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
