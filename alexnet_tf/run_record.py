"""What a run folder records: `RunRecord` (run.json) and `EpochRecord` (history.jsonl).

No TensorFlow. Written by training, read by everything that opens a run.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from alexnet_tf.errors import InputError
from alexnet_tf.settings import Recipe
from alexnet_tf.train_options import TrainOptions

VERSION = 2  # of the format of run.json


class VersionError(InputError):
    """A record was written by another version of this package."""


@dataclasses.dataclass(frozen=True)
class EpochRecord:
    """The results of one epoch: a line of history.jsonl.

    Errors are fractions from 0 to 1; losses are mean cross-entropies in nats. The validation fields
    are None where a run has no validation.

    Attributes:
      epoch: The epoch's number, from 1.
      step: Updates made by its end, from the start of the run.
      learning_rate: The learning rate of the weights in its last update.
      training_loss: Mean over the epoch's training examples, with augmentation and dropout.
      training_top1_error: Likewise.
      training_top5_error: Likewise.
      images_per_second: Training speed.
      waiting_fraction: Fraction of the training time spent waiting for input; None on GPUs, which
        compute meanwhile.
      seconds: Training time, without validation.
      validation_loss: On the center crops of the validation examples.
      validation_top1_error: Likewise.
      validation_top5_error: Likewise.
      validation_top1_errors: Number of wrong validation examples.
      validation_examples: Number of validation examples.
    """

    epoch: int
    step: int
    learning_rate: float
    training_loss: float
    training_top1_error: float
    training_top5_error: float
    images_per_second: float
    waiting_fraction: float | None
    seconds: float
    validation_loss: float | None = None
    validation_top1_error: float | None = None
    validation_top5_error: float | None = None
    validation_top1_errors: int | None = None
    validation_examples: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns plain values by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "EpochRecord":
        """Returns what `to_json` gave.

        Raises:
          InputError: Fields are missing or unknown.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise InputError(f"not the record of an epoch: {error}") from None


@dataclasses.dataclass(frozen=True)
class DatasetRecord:
    """What a run was trained on.

    Attributes:
      name: A TFDS name, or the absolute path of a folder.
      data_dir: TFDS's data folder, or None for its default.
      origin: What the data set is, with its version.
      train_examples: Number of training examples.
      validation_examples: Number of validation examples; 0 without validation.
      validation_split: The split that the run was validated on; "" without validation.
    """

    name: str
    data_dir: str | None
    origin: str
    train_examples: int
    validation_examples: int
    validation_split: str

    @property
    def holds_out(self) -> bool:
        """Whether the validation examples are a held-out part of the train split."""
        return self.validation_split.startswith("train")


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """Everything that a run used, and its results: run.json.

    Attributes:
      id: Random identity of the run.
      started: Local time with its offset, ISO 8601.
      options: The options that were given, with absolute paths and the precision computed in.
      recipe: The recipe with these options applied.
      epochs: Epochs to train for; other than the recipe's if a resume changed them.
      strategy: "single", "mirrored", "multiworker" or "towers".
      devices: Names of the devices.
      dataset: What the run is trained on.
      class_names: By class number.
      versions: Versions of the packages, by name.
      parameters: Number of trainable parameters.
      seconds: Time of all epochs, validation included.
      best: The best epoch by validation, or the last one; None until the run has finished.
      last: The last epoch; None until the run has finished.
      stalled: The warning that the loss plateaued at chance level, or None.
      history_sha256: Checksum of history.jsonl; None until the run has finished.
      finished: Local time with its offset, ISO 8601; None until the run has finished.
    """

    id: str
    started: str
    options: TrainOptions
    recipe: Recipe
    epochs: int
    strategy: str
    devices: tuple[str, ...]
    dataset: DatasetRecord
    class_names: tuple[str, ...]
    versions: dict[str, str]
    parameters: int
    seconds: float = 0.0
    best: EpochRecord | None = None
    last: EpochRecord | None = None
    stalled: str | None = None
    history_sha256: str | None = None
    finished: str | None = None

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self.options.seed or 0

    @property
    def precision(self) -> str:
        """The precision computed in: "float32", "bfloat16" or "float16"."""
        return self.options.precision or "float32"

    def replace(self, **changes: Any) -> "RunRecord":
        """Returns a copy with `changes`."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Returns plain values, with the version of the format."""
        return {
            "version": VERSION,
            **dataclasses.asdict(self),
            "options": self.options.to_json(),
            "devices": list(self.devices),
            "class_names": list(self.class_names),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunRecord":
        """Returns what `to_json` gave.

        Raises:
          VersionError: Another version of the format.
          InputError: Fields are missing or unknown.
        """
        version = values.get("version", 1)
        if version != VERSION:
            raise VersionError(f"format {version}, which this version does not read")

        def epoch(record: dict[str, Any] | None) -> EpochRecord | None:
            return None if record is None else EpochRecord.from_json(record)

        try:
            known = {name: value for name, value in values.items() if name != "version"}
            return cls(
                **{
                    **known,
                    "options": TrainOptions.from_json(values["options"]),
                    "recipe": Recipe.from_json(values["recipe"]),
                    "devices": tuple(values["devices"]),
                    "dataset": DatasetRecord(**values["dataset"]),
                    "class_names": tuple(values["class_names"]),
                    "best": epoch(values["best"]),
                    "last": epoch(values["last"]),
                }
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"not the record of a run: {error}") from None


def history_text(history: Sequence[EpochRecord]) -> str:
    """Returns history.jsonl: one line per epoch."""
    return "".join(json.dumps(record.to_json()) + "\n" for record in history)


def parse_history(text: str) -> list[EpochRecord]:
    """Returns what `history_text` gave.

    Raises:
      InputError: A line is not the record of an epoch.
    """
    records = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            records.append(EpochRecord.from_json(json.loads(line)))
        except (json.JSONDecodeError, InputError) as error:
            raise InputError(f"line {number}: {error}") from None
    return records
