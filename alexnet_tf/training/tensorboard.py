"""`train --tensorboard`: a run's numbers as TensorBoard reads them."""

import importlib.util
from pathlib import Path
from typing import Any

from alexnet_tf.errors import InputError

FOLDER = "tensorboard"


def check_tensorboard() -> None:
    """Raises InputError, with what to install, if the package is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "--tensorboard needs the package tensorboard: pip install -e '.[tensorboard]'"
        )


class TensorBoardWriter:
    """Writes each epoch's numbers into the run's folder.

    Args:
      run_dir: The run's folder.
      epochs_done: Epochs that are already there; what was written after them is hidden.
    """

    def __init__(self, run_dir: Path, epochs_done: int) -> None:
        import tensorflow as tf

        self._summary = tf.summary
        self._writer = tf.summary.create_file_writer(str(run_dir / FOLDER))
        self._epochs_done = epochs_done

    def write(self, history: list[dict[str, Any]]) -> None:
        """Writes the records that have not been written yet, the step being the epoch."""
        with self._writer.as_default():
            for record in history[self._epochs_done :]:
                for name, value in record.items():
                    if name != "epoch" and value is not None:
                        tag = name.replace("training_", "training/", 1)
                        tag = tag.replace("validation_", "validation/", 1)
                        self._summary.scalar(tag, value, step=record["epoch"])
        self._writer.flush()
        self._epochs_done = len(history)
