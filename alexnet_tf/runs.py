"""Run folders: what is in one, and how to find the newest. No TensorFlow."""

import json
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
from alexnet_tf.system import command_name

SAVED_MODELS = "saved_models"
BEST = "best.keras"
LAST = "last.keras"
RUN = "run.json"
HISTORY = "history.jsonl"
CURVES = "curves.png"
STATISTICS = "statistics.npz"
CHECKPOINTS = "checkpoints"
LOCK = ".lock"  # held by the process that trains; says which run the folder is of
SEEDS = "seeds.json"  # in the folder of the runs that `train --seeds` made


def is_run(folder: Path) -> bool:
    """Returns whether a folder is a run's: it has a run.json."""
    return (folder / RUN).is_file()


def newest_run(root: str | Path = SAVED_MODELS) -> Path:
    """Returns the run folder under `root` whose run.json was written first most recently.

    Runs are named `<recipe>-<time>`, and the time sorts; folders that are no runs are passed over.
    Runs of `train --seeds` lie one folder deeper.

    Raises:
      InputError: There is no run.
    """
    root = Path(root)
    folders = [*root.glob("*/"), *root.glob("*/seed-*/")]
    runs = [folder for folder in folders if is_run(folder)]
    if not runs:
        raise InputError(f"no run under {root}/: train one first (`{command_name()} train`)")
    return max(runs, key=lambda folder: (_begun(folder), folder.name))


def _begun(folder: Path) -> float:
    """Returns when a run began, in seconds; long ago if its record does not say.

    Records have local times with their offsets from UTC, and a folder may be used in several zones.
    """
    try:
        return datetime.fromisoformat(read_run(folder).get("started", "")).timestamp()
    except ValueError:
        return 0.0


def is_free(folder: Path) -> bool:
    """Returns whether a run can begin in a folder: nothing, or what one killed at once left."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(
        path.name == LOCK or path.match(".*.writing*") for path in folder.iterdir()
    )


def write_run(folder: str | Path, record: dict[str, Any]) -> None:
    """Writes run.json, with a checksum in it."""
    write_sealed_json(Path(folder) / RUN, record)


def read_run(folder: str | Path) -> dict[str, Any]:
    """Returns a run's record.

    Raises:
      InputError: The folder is missing, is no run, or its run.json is damaged or another run's.
    """
    check_local_path(folder)
    path = Path(folder) / RUN
    try:
        record = read_sealed_json(path)
    except FileNotFoundError:
        raise InputError(f"{folder} is no run folder: it has no {RUN}") from None
    except DamagedFileError as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if "recipe" not in record:
        raise InputError(f"{path} is damaged: it does not describe a run")
    lock = Path(folder) / LOCK
    owner = lock.read_text(encoding="ascii", errors="replace").strip() if lock.is_file() else ""
    if owner and owner != record.get("id"):
        raise InputError(
            f"{path} is another run's: it is of run {record.get('id')}, but the folder ({LOCK}) is "
            f"of run {owner}"
        )
    return record


def history_text(history: list[dict[str, Any]]) -> str:
    """Returns history.jsonl: a line an epoch."""
    return "".join(json.dumps(record) + "\n" for record in history)


def read_history(folder: str | Path) -> list[dict[str, Any]]:
    """Returns a run's records, one an epoch.

    Raises:
      InputError: history.jsonl is missing or damaged, or run.json is.
    """
    path = Path(folder) / HISTORY
    seal = read_run(folder).get("history_sha256")  # of a finished run
    try:
        content = path.read_bytes()
        history = [json.loads(line) for line in content.decode().splitlines()]
    except FileNotFoundError:
        raise InputError(f"{folder} has no {HISTORY} yet") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if seal is not None and sha256(content) != seal:
        raise InputError(
            f"{path} is damaged: its checksum is not the one in {RUN}; "
            "`train --resume` writes it again from the checkpoint"
        )
    return history


def seed_folder(folder: str | Path, seed: int) -> Path:
    """Returns the run with this seed in a folder that `train --seeds` made."""
    return Path(folder) / f"seed-{seed}"


def has_seeds(folder: str | Path) -> bool:
    """Returns whether a folder is one that `train --seeds` made."""
    return (Path(folder) / SEEDS).is_file()


def read_seeds(folder: str | Path) -> dict[str, Any]:
    """Returns "seeds" and "options" of a folder that `train --seeds` made.

    Raises:
      InputError: It is no such folder, or its seeds.json is damaged.
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


def model_file(folder: str | Path) -> Path:
    """Returns the model to judge in a run: the best, or the last where no epoch was chosen.

    Raises:
      InputError: The run has none yet.
    """
    for name in (BEST, LAST):
        path = Path(folder) / name
        if path.is_file():
            return path
    raise InputError(f"{folder} has no model yet: neither {BEST} nor {LAST} (resume its training)")
