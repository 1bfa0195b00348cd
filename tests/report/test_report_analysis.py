"""Samples of images and the projection of features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet_tf.data.examples import ArrayExamples
from alexnet_tf.report.analysis import project_features, random_sample, sample_classes


@pytest.mark.slow
def test_projection_keeps_neighbors_and_is_reproducible():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 20)
    features = (random.normal(size=(3, 64))[groups] * 9 + random.normal(size=(60, 64))) / 10
    points, method = project_features(features.astype(np.float32), 0)
    assert (points.shape, method) == ((60, 2), "t-SNE")
    away = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(60)
    assert (groups[away.argmin(axis=1)] == groups).all()
    np.testing.assert_allclose(project_features(features.astype(np.float32), 0)[0], points)


@pytest.mark.parametrize("count", [1, 2, 30])
def test_projection_of_few_or_equal_features_is_finite(count):
    points, method = project_features(np.ones((count, 5), np.float32), 0)
    assert (points.shape, method) == ((count, 2), "PCA")
    assert np.isfinite(points).all()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(1, 9))
def test_sample_classes_covers_as_many_classes_as_possible(labels, count):
    labels = np.array(labels)
    chosen = sample_classes(labels, count)
    assert len(chosen) == len(set(chosen.tolist())) == min(count, len(labels))
    assert len(set(labels[chosen].tolist())) == min(count, len(set(labels.tolist())))


def test_random_sample_is_ordered_unique_and_reproducible():
    images = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    examples = ArrayExamples(images, np.arange(50))
    first, second = random_sample(examples, 10, 3).labels, random_sample(examples, 10, 3).labels
    np.testing.assert_array_equal(first, second)
    assert (np.diff(first) > 0).all()
    assert random_sample(examples, 50, 3) is examples
