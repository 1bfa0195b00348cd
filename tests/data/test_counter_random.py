"""Philox against its authors' published vectors (Random123), and what we build of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet_tf.data.counter_random import permutation, philox, random_words


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_published_vectors(counter, key, expected):
    words = philox(tuple(np.array([word]) for word in counter), key)
    assert tuple(int(word[0]) for word in words) == expected


def test_words_depend_on_each_of_seed_epoch_index_and_stream():
    def word(seed=1, epoch=2, index=3, stream=4):
        return int(random_words(seed, epoch, np.array([index]), stream)[0][0])

    words = {word(), word(seed=2), word(epoch=3), word(index=4), word(stream=5)}
    words |= {word(seed=1 + 2**32), word(index=3 + 2**32)}
    assert len(words) == 7


def test_words_of_an_index_do_not_depend_on_the_others():
    alone = random_words(5, 1, np.array([70]), 0)
    among = random_words(5, 1, np.arange(100), 0)
    assert [int(word[0]) for word in alone] == [int(word[70]) for word in among]


def test_a_negative_seed_is_a_seed():
    assert random_words(-1, 0, np.array([0]), 0) != random_words(1, 0, np.array([0]), 0)


@given(st.integers(0, 2**40), st.integers(0, 100), st.integers(0, 300))
def test_permutation_has_each_number_once(seed, epoch, size):
    order = permutation(seed, epoch, size, 0)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(size))


def test_permutations_put_every_number_everywhere():
    places = np.array([permutation(0, epoch, 8, 0).argsort() for epoch in range(4000)])
    counts = np.array([np.bincount(places[:, number], minlength=8) for number in range(8)])
    # 500 expected, standard deviation 21: five of them is a chance of one in a million and a half.
    assert np.abs(counts - 500).max() < 105
