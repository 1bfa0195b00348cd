"""What an evaluation found: counts, and the fractions they make. No TensorFlow."""

import dataclasses
import math
from typing import Any, NamedTuple

from alexnet_tf.evaluation.intervals import wilson_interval


@dataclasses.dataclass(frozen=True)
class Errors:
    """How often a network was wrong.

    Attributes:
      examples: Images judged.
      top1_errors: Images whose class did not come first.
      top5_errors: Images whose class was not among the first five.
      loss: Mean cross-entropy in nats; not a number where the network's output was none.
    """

    examples: int
    top1_errors: int
    top5_errors: int
    loss: float

    @property
    def top1_error(self) -> float:
        """Share of images wrong at top-1, 0..1."""
        return self.top1_errors / self.examples

    @property
    def top5_error(self) -> float:
        """Share of images wrong at top-5, 0..1."""
        return self.top5_errors / self.examples

    @property
    def top1_interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the top-1 error, 0..1."""
        return wilson_interval(self.top1_errors, self.examples)

    @property
    def top5_interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the top-5 error, 0..1."""
        return wilson_interval(self.top5_errors, self.examples)

    def to_json(self) -> dict[str, Any]:
        """Returns plain numbers; a loss that is not finite is None, since JSON has no NaN."""
        return {
            "examples": self.examples,
            "top1_errors": self.top1_errors,
            "top5_errors": self.top5_errors,
            "top1_error": self.top1_error,
            "top5_error": self.top5_error,
            "top1_interval": list(self.top1_interval),
            "top5_interval": list(self.top5_interval),
            "loss": self.loss if math.isfinite(self.loss) else None,
        }


class Judgment(NamedTuple):
    """A network judged on some examples: `center, ten = ...` unpacks it.

    Attributes:
      center_crop: From the central crop of each image (the paper's 39.0/18.3).
      ten_crop: From the average over ten crops of each image (37.5/17.0), or None: not asked for.
    """

    center_crop: Errors
    ten_crop: Errors | None = None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A network judged on a data set's split.

    Attributes:
      model: The model's file, or its name where it was given as a model.
      dataset: The data set's name or folder.
      split: The split: "validation" may be the part of train that was held out.
      center_crop: As in `Judgment`.
      ten_crop: As in `Judgment`.
      left_out: Damaged images that were not judged, with the reason.
    """

    model: str
    dataset: str
    split: str
    center_crop: Errors
    ten_crop: Errors | None = None
    left_out: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns plain dicts, strings and numbers; `left_out` as a count."""
        values: dict[str, Any] = {
            "model": self.model,
            "dataset": self.dataset,
            "split": self.split,
            "left_out": len(self.left_out),
            "center_crop": self.center_crop.to_json(),
        }
        if self.ten_crop is not None:
            values["ten_crop"] = self.ten_crop.to_json()
        return values
