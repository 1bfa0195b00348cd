"""Augmentation: a function of (seed, epoch, example), with the distributions of section 4.1."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from alexnet_tf import paper
from alexnet_tf.data import augment
from alexnet_tf.data.augment import (
    draw,
    draw_lighting,
    lighting_offsets,
    permutation,
    philox,
    random_words,
)
from alexnet_tf.data.images import apply_lighting
from alexnet_tf.errors import InputError

STDS = np.array(paper.IMAGENET_RGB_STDS)
EIGENVECTORS = np.array(paper.IMAGENET_RGB_EIGENVECTORS)


@given(
    st.integers(0, 2**63),
    st.integers(0, 200),
    st.lists(st.integers(0, 2**40), min_size=1),
    st.data(),
)
def test_draws_depend_only_on_seed_epoch_and_example(seed, epoch, indices, data):
    at = data.draw(st.integers(0, len(indices) - 1))
    some, one = np.array(indices), np.array([indices[at]])
    together = *draw(seed, epoch, some, 32), draw_lighting(seed, epoch, some)
    alone = *draw(seed, epoch, one, 32), draw_lighting(seed, epoch, one)
    for all_values, value in zip(together, alone, strict=True):
        np.testing.assert_array_equal(all_values[at], value[0])


def test_draws_change_with_seed_and_epoch():
    indices = np.arange(1000)
    tops, lefts, flips = draw(0, 0, indices, 32)
    alphas = draw_lighting(0, 0, indices)
    for seed, epoch in ((1, 0), (0, 1)):
        other_tops, other_lefts, other_flips = draw(seed, epoch, indices, 32)
        assert (tops == other_tops).mean() < 0.1
        assert (lefts == other_lefts).mean() < 0.1
        assert 0.4 < (flips == other_flips).mean() < 0.6
        other_alphas = draw_lighting(seed, epoch, indices)
        assert abs(np.corrcoef(alphas[:, 0], other_alphas[:, 0])[0, 1]) < 0.15


def test_offsets_are_uniform_from_0_to_the_margin_inclusive():
    tops, lefts, flips = draw(3, 7, np.arange(33_000), 32)
    for offsets in (tops, lefts):
        counts = np.bincount(offsets, minlength=33)
        assert len(counts) == 33
        # 1000 expected in each of 33 places; chi-squared has mean 32 and standard deviation 8.
        assert ((counts - 1000) ** 2 / 1000).sum() < 32 + 5 * 8
    assert abs(np.corrcoef(tops, lefts)[0, 1]) < 0.03
    assert abs(flips.mean() - 0.5) < 0.015


def test_no_margin_no_flip():
    for values in draw(0, 0, np.arange(100), margin=0, flip=False):
        assert values.shape == (100,)
        assert not values.any()


def test_alphas_are_normal_and_independent():
    alphas = draw_lighting(11, 0, np.arange(100_000)).astype(np.float64)
    assert alphas.shape == (100_000, 3)
    np.testing.assert_allclose(alphas.mean(axis=0), 0, atol=5 * 0.1 / np.sqrt(1e5))
    np.testing.assert_allclose(alphas.std(axis=0), 0.1, rtol=0.012)
    np.testing.assert_allclose(np.corrcoef(alphas.T), np.eye(3), atol=0.016)
    np.testing.assert_allclose((np.abs(alphas) < 0.1).mean(axis=0), 0.6827, atol=0.008)
    np.testing.assert_allclose((np.abs(alphas) < 0.2).mean(axis=0), 0.9545, atol=0.004)


def test_lighting_covariance_of_ten_thousand_draws_matches_theory():
    alphas = draw_lighting(0, 3, np.arange(10_000))
    offsets = lighting_offsets(alphas, STDS, EIGENVECTORS)
    assert offsets.dtype == np.float32
    theory = 0.01 * EIGENVECTORS @ np.diag(STDS**2) @ EIGENVECTORS.T
    assert np.abs(np.cov(offsets.T) - theory).max() < 0.05 * np.abs(theory).max()
    standard_errors = np.sqrt(np.diag(theory) / 10_000)
    assert (np.abs(offsets.mean(axis=0)) < 5 * standard_errors).all()


def test_lighting_offsets_match_the_formula_of_the_paper():
    alphas = np.array([[0.1, -0.2, 0.05]])
    by_hand = sum(EIGENVECTORS[:, i] * alphas[0, i] * STDS[i] for i in range(3))
    np.testing.assert_allclose(lighting_offsets(alphas, STDS, EIGENVECTORS)[0], by_hand, rtol=1e-6)
    to_the_letter = sum(EIGENVECTORS[:, i] * alphas[0, i] * STDS[i] ** 2 for i in range(3))
    offsets = lighting_offsets(alphas, STDS, EIGENVECTORS, "variance")[0]
    np.testing.assert_allclose(offsets, to_the_letter, rtol=1e-6)
    assert np.abs(offsets).max() > 255  # why it is not the default


def test_unknown_lighting_units_are_rejected():
    with pytest.raises(InputError, match=r"lighting units 'levels'.*std, variance"):
        lighting_offsets(np.zeros((1, 3)), STDS, EIGENVECTORS, "levels")


def test_lighting_is_not_clipped():
    images = np.full((2, 4, 4, 3), 250, np.float32)
    offsets = np.array([[10, 0, -5], [-300, 1, 2]], np.float32)
    lit = apply_lighting(tf.constant(images), tf.constant(offsets)).numpy()
    np.testing.assert_array_equal(lit, images + offsets[:, None, None, :])


def test_lighting_divisor_of_the_2012_code_scales_around_the_mean():
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 5, 5, 3)).astype(np.float32)
    mean = rng.uniform(0, 255, (5, 5, 3)).astype(np.float32)
    offsets = rng.normal(0, 10, (2, 3)).astype(np.float32)
    lit = apply_lighting(tf.constant(images), tf.constant(offsets), 1.1, tf.constant(mean)).numpy()
    # What the network sees once it has subtracted the mean.
    seen = (images - mean + offsets[:, None, None, :]) / 1.1
    np.testing.assert_allclose(lit - mean, seen, atol=1e-4)


def test_divisor_without_a_mean_is_an_error():
    with pytest.raises(ValueError, match=r"divisor=1\.1"):
        apply_lighting(tf.zeros((1, 2, 2, 3)), tf.zeros((1, 3)), 1.1)


def test_draws_of_an_epoch_take_two_vectorized_calls(monkeypatch):
    calls = []
    monkeypatch.setattr(augment, "philox", lambda *given: calls.append(given) or philox(*given))
    indices = np.arange(9000).reshape(-1, 100)
    assert draw(0, 0, indices, 32)[0].shape == (90, 100)
    assert draw_lighting(0, 0, indices).shape == (90, 100, 3)
    assert len(calls) == 2


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
def test_philox_matches_published_vectors(counter, key, expected):  # of Random123
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


def test_negative_seed_gives_other_words():
    assert random_words(-1, 0, np.array([0]), 0) != random_words(1, 0, np.array([0]), 0)


@given(st.integers(0, 2**40), st.integers(0, 100), st.integers(0, 300))
def test_permutation_contains_each_index_once(seed, epoch, size):
    order = permutation(seed, epoch, size, 0)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(size))


def test_permutations_are_uniform():
    positions = np.array([permutation(0, epoch, 8, 0).argsort() for epoch in range(4000)])
    counts = np.array([np.bincount(positions[:, number], minlength=8) for number in range(8)])
    # 500 expected, standard deviation 21: five of them is a chance of one in a million and a half.
    assert np.abs(counts - 500).max() < 105
