"""Exact top-1 and top-5 errors: integers, counted in the graph, for training and evaluation."""

import tensorflow as tf

TOP_K = 5  # the paper's second figure


def rank_of_label(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns how many classes are ahead of the true one: 0 is right at top-1, below 5 at top-5.

    Equal scores are ordered by class index, as argmax does, so a network that gives every class the
    same score is right for class 0 only. An image with a NaN among its scores is wrong at any k.

    Args:
      scores: float [b, c]; any monotonic ones (probabilities or logits).
      labels: int [b], in 0..c-1.

    Returns:
      int32 [b], in 0..c-1, or the largest int32 where a score is NaN.
    """
    labels = tf.cast(labels, tf.int32)
    score = tf.gather(scores, labels, axis=1, batch_dims=1)[:, tf.newaxis]
    classes = tf.range(tf.shape(scores)[1])[tf.newaxis, :]
    ahead = (scores > score) | ((scores == score) & (classes < labels[:, tf.newaxis]))
    rank = tf.math.count_nonzero(ahead, axis=1, dtype=tf.int32)
    broken = tf.reduce_any(tf.math.is_nan(scores), axis=1)
    return tf.where(broken, tf.int32.max, rank)


def count_errors(
    scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Counts a batch's errors.

    With five classes or fewer no image is wrong at top-5, except one with a NaN among its scores.

    Args:
      scores: float [b, c]; probabilities or logits.
      labels: int [b].
      weights: float [b]: 0 for the rows that only fill up a short batch, which are not counted.

    Returns:
      Three int64 scalars: images wrong at top-1, images wrong at top-5, images counted.
    """
    rank = rank_of_label(scores, labels)
    counted = weights > 0
    return (
        tf.math.count_nonzero((rank >= 1) & counted),
        tf.math.count_nonzero((rank >= TOP_K) & counted),
        tf.math.count_nonzero(counted),
    )
