"""Run folders: their files, finding one, and the model that a command uses. No TensorFlow."""

import dataclasses
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from alexnet_tf.errors import InputError
from alexnet_tf.files import (
    DamagedFileError,
    check_local_path,
    read_sealed_json,
    sha256,
    write_sealed_json,
)
from alexnet_tf.run_record import EpochRecord, RunRecord, VersionError, parse_history
from alexnet_tf.system import command_name

SAVED_MODELS = "saved_models"
BEST = "best.keras"
LAST = "last.keras"
RUN = "run.json"
HISTORY = "history.jsonl"
CURVES = "curves.png"
STATISTICS = "statistics.npz"
CHECKPOINTS = "checkpoints"
LOCK = ".lock"  # locked by the process that trains
RUN_ID = ".id"  # the id of the run that the folder belongs to
SEEDS = "seeds.json"  # in the folder of a seed series (`train --seeds`)


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """The model that a command uses, and where it comes from.

    Attributes:
      path: The model: a .keras file, or an exported file or folder.
      run: The run folder, or None for a model without a run.
      record: The run's record, or None.
      notes: What the user should know about the choice: newer runs without a model, or an option
        that was given what the other one takes.
    """

    path: Path
    run: Path | None = None
    record: RunRecord | None = None
    notes: tuple[str, ...] = ()

    @property
    def dataset(self) -> str | None:
        """The data set that the run was trained on, a name or an absolute path, or None."""
        return None if self.record is None else self.record.options.dataset

    @property
    def data_dir(self) -> str | None:
        """TFDS's data folder of the run, or None for TFDS's default."""
        return None if self.record is None else self.record.options.data_dir

    @property
    def split(self) -> str | None:
        """The split that the run was validated on, or None; a held-out part is "validation"."""
        if self.record is None or not self.record.dataset.validation_split:
            return None
        held_out = self.record.dataset.holds_out
        return "validation" if held_out else self.record.dataset.validation_split


def open_model(
    run: str | os.PathLike[str] | None = None, model: str | os.PathLike[str] | None = None
) -> ModelSource:
    """Finds the model that the user named: the only way from `--run` and `--model` to a file.

    Args:
      run: A run folder, or a model file.
      model: A model file or exported folder, or a run folder. With neither: the newest run under
        saved_models/ that has a model.

    Raises:
      InputError: Both were given, the folder is not a run, or it has no model.
    """
    if run is not None and model is not None:
        raise InputError("--run and --model name two models: give one of them")
    named = run if run is not None else model
    if named is None:
        return newest_model()
    path = Path(named)
    if run is not None and path.is_file():
        return ModelSource(path, notes=(f"--run {path} is a model file: used as --model",))
    if run is not None or is_run(path):
        record, file = read_run(path), model_file(path)
        notes = (f"--model {path} is a run folder: used as --run",) if run is None else ()
        return ModelSource(file, path, record, notes)
    if not path.exists():
        raise InputError(f"--model {path} not found")
    return ModelSource(path)


def newest_model(root: str | Path = SAVED_MODELS) -> ModelSource:
    """Returns the model of the newest run that has one.

    Raises:
      InputError: No run under `root` has a model.
    """
    folders = runs_by_age(root)
    skipped: list[str] = []
    for folder in folders:
        if has_model(folder):
            return ModelSource(model_file(folder), folder, read_run(folder), tuple(skipped))
        skipped.append(f"skipped {folder}: it has no model yet (resume its training)")
    raise InputError(_no_run(Path(root), folders))


def is_run(folder: Path) -> bool:
    """Returns whether a folder is a run folder: it has a run.json."""
    return (folder / RUN).is_file()


def newest_run(root: str | Path = SAVED_MODELS) -> Path:
    """Returns the run folder under `root` that was started last, with or without a model.

    Raises:
      InputError: No run was found.
    """
    folders = runs_by_age(root)
    if not folders:
        raise InputError(_no_run(Path(root), []))
    return folders[0]


def runs_by_age(root: str | Path = SAVED_MODELS) -> list[Path]:
    """Returns the run folders under `root`, newest first; the runs of a seed series included.

    Hidden folders are not runs: `runs --remove` leaves one if it is interrupted.
    """
    root = Path(root)
    folders = [*root.glob("*/"), *root.glob("*/seed-*/")]
    found = [f for f in folders if is_run(f) and not f.name.startswith(".")]
    return sorted(found, key=lambda folder: (_started(folder), folder.name), reverse=True)


def _no_run(root: Path, without_model: list[Path]) -> str:
    """Returns the message for a folder in which no run can be used."""
    if without_model:
        return (
            f"no run under {root}/ has a model yet: the newest, {without_model[0]}, stopped before "
            f"its first epoch; resume it with: {command_name()} train --resume"
        )
    return f"no run under {root}/: train one first (`{command_name()} train`)"


def _started(folder: Path) -> float:
    """Returns when a run was started, in seconds; 0 if its record cannot be read.

    Records hold local times with their offsets, since a folder may be used in several time zones.
    """
    try:
        return datetime.fromisoformat(read_run(folder).started).timestamp()
    except ValueError:  # an InputError is one
        return 0.0


def is_free(folder: Path) -> bool:
    """Returns whether a run can start in a folder: missing, empty, or left by a killed start."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(
        path.name in (LOCK, RUN_ID) or path.match(".*.writing*") for path in folder.iterdir()
    )


def write_run(folder: str | Path, record: RunRecord) -> None:
    """Writes run.json, with its checksum."""
    write_sealed_json(Path(folder) / RUN, record.to_json())


def read_run(folder: str | Path) -> RunRecord:
    """Reads run.json.

    Raises:
      InputError: The folder is not a run folder, or its run.json is damaged, was written by another
        version, or belongs to another run.
    """
    check_local_path(folder)
    path = Path(folder) / RUN
    try:
        record = RunRecord.from_json(read_sealed_json(path))
    except FileNotFoundError:
        raise InputError(f"{folder} is not a run folder: {RUN} not found") from None
    except VersionError as error:
        raise InputError(
            f"{path} has {error}: train again, or use its model alone: --model "
            f"{Path(folder) / BEST}"
        ) from None
    except (DamagedFileError, InputError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    owner = folder_id(folder)
    if owner and owner != record.id:
        raise InputError(
            f"{path} belongs to another run: its id is {record.id}, the folder's ({RUN_ID}) is "
            f"{owner}"
        )
    return record


def folder_id(folder: str | Path) -> str:
    """Returns the id of the run that a folder belongs to; "" if it belongs to none yet."""
    path = Path(folder) / RUN_ID
    return path.read_text(encoding="ascii", errors="replace").strip() if path.is_file() else ""


def read_history(folder: str | Path) -> list[EpochRecord]:
    """Reads the records of a run's epochs.

    Raises:
      InputError: history.jsonl is missing or damaged, or run.json is.
    """
    path = Path(folder) / HISTORY
    checksum = read_run(folder).history_sha256  # of a finished run
    try:
        content = path.read_bytes()
        history = parse_history(content.decode())
    except FileNotFoundError:
        raise InputError(f"{folder} has no {HISTORY} yet") from None
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if checksum is not None and sha256(content) != checksum:
        raise InputError(
            f"{path} is damaged: checksum mismatch; `train --resume` restores it from the "
            "checkpoint"
        )
    return history


def epochs_done(folder: str | Path) -> int:
    """Returns how many epochs of a run are complete.

    Raises:
      InputError: history.jsonl or run.json is damaged.
    """
    return len(read_history(folder)) if (Path(folder) / HISTORY).is_file() else 0


def seed_folder(folder: str | os.PathLike[str], seed: int) -> Path:
    """Returns the run with this seed in a seed series' folder."""
    return Path(folder) / f"seed-{seed}"


def runs_of(folder: str | os.PathLike[str]) -> list[Path]:
    """Returns the runs of a folder that `train --seeds` made, or else the folder alone."""
    if is_run(Path(folder)) or not has_seeds(folder):
        return [Path(folder)]
    return [seed_folder(folder, seed) for seed in read_seeds(folder)["seeds"]]


def has_seeds(folder: str | os.PathLike[str]) -> bool:
    """Returns whether a folder is one that `train --seeds` made."""
    return (Path(folder) / SEEDS).is_file()


def read_seeds(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns "seeds" and "options" of a seed series' folder.

    Raises:
      InputError: The folder is not one, or its seeds.json is damaged.
    """
    check_local_path(folder)
    path = Path(folder) / SEEDS
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} holds no runs by seeds: it has no {SEEDS}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if not isinstance(record, dict) or not {"seeds", "options"} <= record.keys():
        raise InputError(f"{path} is damaged: it does not name seeds")
    return record


def has_model(folder: str | Path) -> bool:
    """Returns whether a run has saved a model."""
    return any((Path(folder) / name).is_file() for name in (BEST, LAST))


def model_file(folder: str | Path) -> Path:
    """Returns a run's model: the best, or the last where no epoch was selected.

    Raises:
      InputError: The run has no model yet.
    """
    for name in (BEST, LAST):
        path = Path(folder) / name
        if path.is_file():
            return path
    raise InputError(f"{folder} has no model yet: neither {BEST} nor {LAST} (resume its training)")
