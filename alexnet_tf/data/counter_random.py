"""Random numbers as a function of what they are for: Philox4x32-10, a counter-based generator.

Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", 2011. The n-th example's
numbers are computed from its index alone, without those before it, so any worker can draw any part.
"""

import numpy as np

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox(counter: tuple[np.ndarray, ...], key: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Returns four random 32-bit words for each counter.

    Args:
      counter: Four arrays of one shape with whole numbers of 32 bits, lowest word first.
      key: Two whole numbers of 32 bits.

    Returns:
      Four uint64 arrays of that shape with values 0 .. 2^32 - 1.
    """
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    for _ in range(_ROUNDS):
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> _SHIFT) ^ c1 ^ np.uint64(k0),
            product1 & _LOW,
            (product0 >> _SHIFT) ^ c3 ^ np.uint64(k1),
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def random_words(seed: int, epoch: int, indices: np.ndarray, stream: int) -> tuple[np.ndarray, ...]:
    """Returns four random 32-bit words per example.

    Args:
      seed: Of the run; any whole number, its lowest 64 bits count.
      epoch: From 0.
      indices: [n], the examples' numbers.
      stream: Which of the independent streams.

    Returns:
      Four uint64 arrays [n] with values 0 .. 2^32 - 1.
    """
    indices = np.asarray(indices, np.uint64)
    counter = (
        indices & _LOW,
        indices >> _SHIFT,
        np.full_like(indices, epoch),
        np.full_like(indices, stream),
    )
    return philox(counter, (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF))


def permutation(seed: int, epoch: int, size: int, stream: int) -> np.ndarray:
    """Returns 0 .. size - 1 in random order, int64 [size]: a true shuffle of all of them."""
    low, high, _, _ = random_words(seed, epoch, np.arange(size), stream)
    # Sorting by random keys leans on no library's shuffle, which may change between versions.
    return np.argsort((high << _SHIFT) | low, kind="stable").astype(np.int64)
