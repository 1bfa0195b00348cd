"""Features made flat."""

import numpy as np
import pytest

from alexnet_tf.report.feature_plane import plane


@pytest.mark.slow
def test_what_is_near_stays_near_in_two_dimensions():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 20)
    features = (random.normal(size=(3, 64))[groups] * 9 + random.normal(size=(60, 64))) / 10
    points, method = plane(features.astype(np.float32), 0)
    assert (points.shape, method) == ((60, 2), "t-SNE")
    away = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(60)
    assert (groups[away.argmin(axis=1)] == groups).all()
    np.testing.assert_allclose(plane(features.astype(np.float32), 0)[0], points)


@pytest.mark.parametrize("count", [1, 2, 30])
def test_few_or_equal_features_have_a_place_too(count):
    points, method = plane(np.ones((count, 5), np.float32), 0)
    assert (points.shape, method) == ((count, 2), "PCA")
    assert np.isfinite(points).all()
