"""Precision of retrieval, compared with values computed by hand."""

import numpy as np
import pytest
from benchmark_scripts import load_script

retrieval = load_script("retrieval")


def test_precision_is_the_fraction_of_the_nearest_of_the_same_class():
    labels = np.array([0, 0, 1, 1, 2])
    nearest = np.array([[0, 1], [0, 2], [2, 4]])
    assert retrieval.precision(labels, nearest, np.array([0, 1, 0])) == pytest.approx(
        (2 + 1 + 0) / 6
    )


def test_chance_is_the_fraction_of_pairs_of_one_class():
    assert retrieval.chance(np.array([0, 0, 0, 1]), np.array([0, 1])) == pytest.approx(
        (3 / 4 + 1 / 4) / 2
    )
    assert retrieval.chance(np.array([0, 1]), np.array([2])) == 0


def test_image_is_not_its_own_neighbor():
    rows = np.arange(11)[None].repeat(2, axis=0)
    kept = retrieval._without(rows, np.array([3, 20]))
    assert kept.tolist() == [[0, 1, 2, 4, 5, 6, 7, 8, 9, 10], [*range(10)]]
