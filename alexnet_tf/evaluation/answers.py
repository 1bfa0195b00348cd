"""What a network said about each image, in a few numbers: all that a report is made of.

Whole outputs are not kept: 50,000 images with 1,000 classes would be 200 MB, their answers are 3.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from alexnet_tf.evaluation.topk import TOP_K, rank_of_label

NO_NUMBER = np.iinfo(np.int32).max  # the rank where a score is NaN, see `topk.rank_of_label`


@dataclasses.dataclass(frozen=True)
class Answers:
    """The answers to n images, in their order; k is 5, or the number of classes if smaller.

    Attributes:
      labels: int64 [n]: the true classes.
      ranks: int32 [n]: classes ahead of the true one; `NO_NUMBER` where an output was no number.
      classes: int32 [n, k]: the most probable classes, the first one first.
      probabilities: float32 [n, k]: theirs.
      label_probabilities: float32 [n]: the true class's.
    """

    labels: np.ndarray
    ranks: np.ndarray
    classes: np.ndarray
    probabilities: np.ndarray
    label_probabilities: np.ndarray

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.labels)

    @property
    def is_right(self) -> np.ndarray:
        """Whether the true class came first: bool [n]."""
        return self.ranks == 0

    @property
    def is_number(self) -> np.ndarray:
        """Whether the network's output was one: bool [n]."""
        return self.ranks != NO_NUMBER

    @property
    def confidences(self) -> np.ndarray:
        """float32 [n]: the probability of the class that came first."""
        return self.probabilities[:, 0]

    @property
    def predicted(self) -> np.ndarray:
        """int32 [n]: the class that came first."""
        return self.classes[:, 0]

    @classmethod
    def join(cls, parts: Sequence["Answers"]) -> "Answers":
        """Returns the parts' answers one after another; at least one part."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def answer(probabilities: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Returns the tensors of `Answers` for a batch, labels first; usable inside tf.function.

    Args:
      probabilities: float32 [b, classes]. Equal ones are ordered by class, as `topk` does.
      labels: int64 [b].
    """
    top = tf.math.top_k(probabilities, min(TOP_K, int(probabilities.shape[-1])))
    right = tf.gather(probabilities, labels, axis=1, batch_dims=1)
    return labels, rank_of_label(probabilities, labels), top.indices, top.values, right
