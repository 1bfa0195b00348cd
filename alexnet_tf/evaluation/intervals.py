"""How sure a share is: Wilson's score interval. No TensorFlow."""

import math

Z_95 = 1.959963984540054  # 97.5% of a normal distribution lie below


def wilson_interval(count: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """Returns the interval that holds a proportion with 95% confidence (Wilson, 1927).

    With p = count / n: (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n). Unlike
    p -+ z sqrt(p (1 - p) / n) it stays within 0..1, and says something when p is 0 or 1.

    Args:
      count: How many there are, 0..total.
      total: Of how many; 0 leaves everything open: 0..1.
      z: Of the confidence.

    Raises:
      ValueError: The count is not within 0..total.
    """
    if not 0 <= count <= total:
        raise ValueError(f"the count must be within 0 and the total. Received: {count=}, {total=}")
    if total == 0:
        return 0.0, 1.0
    share, shrink = count / total, 1 + z * z / total
    center = (share + z * z / (2 * total)) / shrink
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / shrink
    # Rounding must not leave the ends that are exact.
    low = 0.0 if count == 0 else max(0.0, center - half)
    return low, 1.0 if count == total else min(1.0, center + half)
