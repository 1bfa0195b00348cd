"""Wilson's interval against its definition and published values."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alexnet_tf.evaluation.intervals import Z_95, wilson_interval


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_at_its_ends_the_share_is_just_z_standard_errors_away(count, total):
    assume(count <= total)
    low, high = wilson_interval(count, total)
    assert 0 <= low <= count / total <= high <= 1
    for end in (low, high):
        if 0 < end < 1:  # (p - end)^2 = z^2 end (1 - end) / n defines it
            distance = abs(count / total - end)
            assert distance == pytest.approx(
                Z_95 * math.sqrt(end * (1 - end) / total), rel=1e-6, abs=1e-12
            )


def test_published_values():
    # Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_ends():
    assert wilson_interval(0, 7)[0] == 0
    assert wilson_interval(7, 7)[1] == 1
    assert wilson_interval(0, 0) == (0, 1)


@pytest.mark.parametrize(("count", "total"), [(-1, 3), (4, 3), (0, -1)])
def test_impossible_counts_are_refused(count, total):
    with pytest.raises(ValueError, match="Received"):
        wilson_interval(count, total)
