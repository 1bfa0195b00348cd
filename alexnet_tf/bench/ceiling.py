"""The machine's own ceiling: the best of a large matrix product and a large convolution."""

import dataclasses
import time
from collections.abc import Callable

import tensorflow as tf

_MATRIX = 2048
_CONVOLUTION = (64, 27, 27, 96, 256, 5)  # batch, height, width, maps in, maps out, kernel: conv2's
_SHORTEST_SECONDS = 0.05  # of a timed stretch: shorter ones measure the clock


@dataclasses.dataclass(frozen=True)
class Ceiling:
    """The highest rate seen.

    Attributes:
      precision: "float32", "bfloat16" or "float16".
      matrix_product: Rate of a product of two 2048 x 2048 matrices, in FLOP/s.
      convolution: Rate of a 5x5 convolution of the shape of conv2 without towers, in FLOP/s.
    """

    precision: str
    matrix_product: float
    convolution: float

    @property
    def rate(self) -> float:
        """The better of both, in FLOP/s; a multiply-add is two."""
        return max(self.matrix_product, self.convolution)


def measure_ceiling(precision: str, rounds: int = 5) -> Ceiling:
    """Measures the ceiling of one precision.

    Args:
      precision: "float32", "bfloat16" or "float16".
      rounds: Of each; the best counts.
    """
    dtype = tf.dtypes.as_dtype(precision)
    matrix = tf.cast(tf.random.stateless_normal([_MATRIX, _MATRIX], [0, 0]), dtype)
    batch, height, width, maps_in, maps_out, size = _CONVOLUTION
    image = tf.cast(tf.random.stateless_normal([batch, height, width, maps_in], [0, 1]), dtype)
    kernel = tf.cast(tf.random.stateless_normal([size, size, maps_in, maps_out], [0, 2]), dtype)

    @tf.function
    def multiply() -> tf.Tensor:
        return tf.matmul(matrix, matrix)

    @tf.function
    def convolve() -> tf.Tensor:
        return tf.nn.conv2d(image, kernel, 1, "SAME")

    convolution_work = 2 * batch * height * width * maps_in * maps_out * size**2
    return Ceiling(
        precision,
        2 * _MATRIX**3 / shortest(lambda: finish(multiply()), rounds),
        convolution_work / shortest(lambda: finish(convolve()), rounds),
    )


def shortest(run: Callable[[], object], rounds: int) -> float:
    """Returns the seconds of the fastest of some rounds, after one that does not count."""
    run()
    calls, best = 1, float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(calls):
            run()
        seconds = time.perf_counter() - started
        best = min(best, seconds / calls)
        calls = max(1, round(_SHORTEST_SECONDS / best))
    return best


def finish(values: object) -> None:
    """Waits for tensors: what was asked of a device is not done when the call returns."""
    for value in tf.nest.flatten(values):
        if hasattr(value, "numpy"):
            tf.reshape(value, [-1])[:1].numpy()
