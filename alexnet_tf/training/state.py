"""The state of a run between two updates: what a checkpoint holds beside the tensors."""

import dataclasses
from typing import Any

import numpy as np

from alexnet_tf.run_record import EpochRecord
from alexnet_tf.training.schedule import PlateauState


@dataclasses.dataclass
class Totals:
    """Sums over the examples of an epoch so far; the losses are cross-entropies in nats."""

    loss_sum: float = 0.0
    top1_errors: int = 0
    top5_errors: int = 0
    examples: int = 0
    waiting_seconds: float = 0.0

    def add(self, sums: np.ndarray) -> None:
        """Adds the first five sums that `TrainingStep` returned."""
        self.loss_sum += float(sums[0])
        self.top1_errors += int(sums[1])
        self.top5_errors += int(sums[2])
        self.examples += int(sums[3])
        self.waiting_seconds += float(sums[4])

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return self.loss_sum / max(self.examples, 1)

    @property
    def top1_error(self) -> float:
        """Fraction of examples whose label is not the first prediction, 0..1."""
        return self.top1_errors / max(self.examples, 1)

    @property
    def top5_error(self) -> float:
        """Fraction of examples whose label is not among the first five predictions, 0..1."""
        return self.top5_errors / max(self.examples, 1)


@dataclasses.dataclass(frozen=True)
class BestEpoch:
    """The best epoch so far: fewest top-1 errors in validation, then lowest loss."""

    epoch: int  # from 1
    top1_errors: int
    loss: float


@dataclasses.dataclass
class TrainState:
    """What a run has done.

    Attributes:
      epoch: Epochs finished, validation included.
      step: Updates made.
      updates_in_epoch: Updates made in the current epoch.
      totals: Sums of the current epoch.
      epoch_seconds: Training time of the current epoch.
      images_per_second: Training speed of the current epoch.
      schedule: State of the plateau rule.
      best: The best epoch so far, or None.
      history: One record per finished epoch.
      seconds: Time of all finished epochs, validation included.
      stalled: The warning that the loss plateaued at chance level, or None.
    """

    epoch: int = 0
    step: int = 0
    updates_in_epoch: int = 0
    totals: Totals = dataclasses.field(default_factory=Totals)
    epoch_seconds: float = 0.0
    images_per_second: float = 0.0
    schedule: PlateauState = dataclasses.field(default_factory=PlateauState)
    best: BestEpoch | None = None
    history: list[EpochRecord] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    stalled: str | None = None

    def update_best(self, top1_errors: int, loss: float) -> bool:
        """Returns whether the current epoch is the best so far, and makes it so."""
        if self.best is not None and (top1_errors, loss) >= (self.best.top1_errors, self.best.loss):
            return False
        self.best = BestEpoch(self.epoch + 1, top1_errors, loss)
        return True

    @property
    def epochs_since_best(self) -> int:
        """Epochs since the best one; 0 where validation does not select it."""
        return 0 if self.best is None else self.epoch - self.best.epoch

    def finish_epoch(self, record: EpochRecord, seconds: float) -> None:
        """Adds the record of an epoch that took `seconds`, with validation; starts the next one."""
        self.history.append(record)
        self.seconds += seconds
        self.epoch += 1
        self.updates_in_epoch, self.totals = 0, Totals()
        self.epoch_seconds = self.images_per_second = 0.0

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TrainState":
        """Returns the state whose fields `dataclasses.asdict` converted."""
        best = values["best"]
        typed = {
            "totals": Totals(**values["totals"]),
            "schedule": PlateauState(**values["schedule"]),
            "best": None if best is None else BestEpoch(**best),
            "history": [EpochRecord.from_json(record) for record in values["history"]],
        }
        return cls(**{**values, **typed})
