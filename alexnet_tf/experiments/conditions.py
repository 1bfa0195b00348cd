"""What a run's numbers depend on beside its recipe, seed and images, noted when it begins."""

import dataclasses
import functools
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

from alexnet_tf.errors import InputError
from alexnet_tf.files import write_json
from alexnet_tf.system import available_cores

BEGUN = "begun.json"  # in an experiment's folder: conditions by run folder
_CODE = Path(__file__).parents[2]  # where the package lies


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Under which a run begins. No TensorFlow.

    Attributes:
      commit: Of the package, with "+" if it was changed since; None: not from git.
      host: The machine's name.
      cores: How many the process may use: another number adds up in another order.
    """

    commit: str | None
    host: str
    cores: int

    @property
    def can_be_repeated(self) -> bool:
        """Whether they have a name, so that another run may be begun under the same."""
        return self.commit is not None and not self.commit.endswith("+")


@functools.cache
def conditions() -> Conditions:
    """Returns this process's, as they are when first asked for: its code does not change later."""
    return Conditions(_commit(), platform.node(), available_cores())


def read_begun(root: Path) -> dict[str, Conditions]:
    """Returns the conditions of an experiment's runs, by folder name.

    Raises:
      InputError: The file is damaged.
    """
    path = root / BEGUN
    if not path.is_file():
        return {}
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
        return {name: Conditions(**values) for name, values in begun.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}): name another --out") from None


def note_begun(root: Path, folder: str) -> None:
    """Notes that a run begins under this process's conditions."""
    begun: dict[str, Any] = {
        name: dataclasses.asdict(values) for name, values in read_begun(root).items()
    }
    write_json(root / BEGUN, {**begun, folder: dataclasses.asdict(conditions())})


def machine(devices: list[str], cores: int) -> str:
    """Returns what a run was made on: "2 x86_64 cores", or "2 GPUs"."""
    gpus = sum("GPU" in device for device in devices)
    if gpus:
        return f"{gpus} GPU{'s' if gpus > 1 else ''}"
    return f"{cores} {platform.machine()} core{'s' if cores > 1 else ''}"


def _commit() -> str | None:
    """Returns `Conditions.commit` as the files are now."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(_CODE), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        # Installed into a folder of someone else's repository it has no commit.
        git("ls-files", "--error-unmatch", "alexnet_tf/__init__.py")
        name = git("rev-parse", "--short=9", "HEAD")
        return name + ("+" if git("status", "--porcelain", "--", "alexnet_tf") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
