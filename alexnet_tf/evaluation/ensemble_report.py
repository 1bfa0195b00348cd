"""What judging several networks together found. No TensorFlow."""

import dataclasses
from typing import Any, NamedTuple

from alexnet_tf.evaluation.report import Evaluation


class Gain(NamedTuple):
    """What averaging saves, in shares of all images; below 0 it costs.

    Attributes:
      over_best: The error of the best network alone, less the ensemble's.
      over_mean: The mean of the networks' errors, less the ensemble's.
    """

    over_best: float
    over_mean: float


@dataclasses.dataclass(frozen=True)
class EnsembleEvaluation:
    """Networks judged on a data set's split, alone and averaged.

    Attributes:
      members: Each network alone.
      ensemble: Their probabilities averaged.
    """

    members: tuple[Evaluation, ...]
    ensemble: Evaluation

    @property
    def crops(self) -> tuple[str, ...]:
        """What was judged: "center_crop" and perhaps "ten_crop"."""
        return ("center_crop",) if self.ensemble.ten_crop is None else ("center_crop", "ten_crop")

    def gain(self, crop: str, error: str = "top1_error") -> Gain:
        """Returns what averaging saves.

        Args:
          crop: One of `crops`.
          error: "top1_error" or "top5_error".
        """
        alone = [getattr(getattr(member, crop), error) for member in self.members]
        together = getattr(getattr(self.ensemble, crop), error)
        return Gain(min(alone) - together, sum(alone) / len(alone) - together)

    def to_json(self) -> dict[str, Any]:
        """Returns plain dicts, lists, strings and numbers."""
        whole = self.ensemble.to_json()
        about = {name: whole.pop(name) for name in ("dataset", "split", "left_out")}
        members = [member.to_json() for member in self.members]
        return {
            **about,
            "members": [{k: v for k, v in m.items() if k not in about} for m in members],
            "ensemble": whole,
            "gain": {
                crop: {e: self.gain(crop, e)._asdict() for e in ("top1_error", "top5_error")}
                for crop in self.crops
            },
        }
