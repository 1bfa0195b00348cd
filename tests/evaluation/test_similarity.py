"""Nearest rows against distances in NumPy, for any chunk size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_tf.data.examples import ArrayExamples
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation import similarity
from alexnet_tf.evaluation.features import FeatureIndex
from alexnet_tf.evaluation.similarity import nearest, nearest_rows


def by_hand(features, queries, distance):
    """All distances, float64 [q, n]."""
    features, queries = features.astype(np.float64), queries.astype(np.float64)
    if distance == "euclidean":
        return np.linalg.norm(queries[:, None] - features[None], axis=-1)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, features)]
    return 1 - unit[0] @ unit[1].T


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 40),
    queries=st.integers(1, 5),
    top=st.integers(1, 12),
    chunk_rows=st.integers(1, 50),
    distance=st.sampled_from(["euclidean", "cosine"]),
    seed=st.integers(0, 2**16),
)
def test_nearest_rows_match_numpy_in_any_chunks(rows, queries, top, chunk_rows, distance, seed):
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 7)).astype(np.float32)
    query_rows = random.normal(size=(queries, 7)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "_CHUNK_BYTES", 4 * 7 * chunk_rows)
        numbers, distances = nearest_rows(features, query_rows, top, distance)
    expected = by_hand(features, query_rows, distance)
    order = np.argsort(expected, axis=1, kind="stable")[:, :top]
    np.testing.assert_array_equal(numbers, order)
    np.testing.assert_allclose(distances, np.take_along_axis(expected, order, 1), atol=1e-9)


def test_distance_to_itself_is_0_and_equal_rows_are_sorted_by_number():
    features = np.full((6, 4096), 3.1, np.float32)
    features[3] += 0.5
    numbers, distances = nearest_rows(features, features[:1], 6)
    assert numbers.tolist() == [[0, 1, 2, 4, 5, 3]]
    assert distances[0, :5].tolist() == [0.0] * 5
    assert distances[0, 5] == pytest.approx(0.5 * 64, rel=1e-5)


def test_cosine_distance_of_a_zero_vector_is_1():
    features = np.array([[0, 0], [1, 0]], np.float32)
    numbers, distances = nearest_rows(features, features[1:], 2, "cosine")
    assert numbers.tolist() == [[1, 0]]
    assert distances.tolist() == [[0.0, 1.0]]


def test_neighbors_have_names_and_classes(tmp_path):
    images = np.zeros((3, 4, 4, 3), np.uint8)
    features = np.array([[0.0], [5.0], [1.0]], np.float32)
    examples = ArrayExamples(images, [1, 0, 1], origin="train")
    index = FeatureIndex(features, examples, ("a", "b"), "photos", "train", tmp_path)
    ((first, second),) = nearest(index, np.array([[0.8]], np.float32), top=2)
    assert (first.number, first.name, first.class_name) == (2, "train 2", "b")
    assert first.distance == pytest.approx(0.2)
    assert second.to_json() == {
        "index": 0,
        "image": "train 0",
        "class": "b",
        "distance": pytest.approx(0.8),
    }


def test_unknown_distance_and_top_below_one_are_rejected():
    features = np.zeros((2, 2), np.float32)
    with pytest.raises(InputError, match=r"manhattan.*euclidean"):
        nearest_rows(features, features, 1, "manhattan")
    with pytest.raises(InputError, match="--top"):
        nearest_rows(features, features, 0)
