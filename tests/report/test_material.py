"""What the report is made of: kernels before training, samples, the flat map, many classes."""

import contextlib
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet_tf.data.examples import ArrayExamples
from alexnet_tf.evaluation.answers import Answers
from alexnet_tf.evaluation.metrics import class_errors
from alexnet_tf.evaluation.report import Errors, Evaluation
from alexnet_tf.pictures.theme import LIGHT
from alexnet_tf.report.facts import facts
from alexnet_tf.report.feature_plane import plane
from alexnet_tf.report.material import Material
from alexnet_tf.report.pictures import PICTURES
from alexnet_tf.report.sampling import of_each_class, some


@pytest.mark.slow
def test_before_training_is_what_the_run_began_with(home):
    def material():
        return Material(home / "run", lambda what: contextlib.nullcontext(lambda *count: None))

    found = material()
    # The run's rate was too small to change a weight.
    np.testing.assert_array_equal(found.kernels.before, found.kernels.after)
    assert (found.kernels.groups, found.kernels.after.shape) == (2, (5, 5, 3, 8))
    tuned = material()
    tuned.record["options"]["overrides"]["weights"] = str(home / "run")
    np.testing.assert_array_equal(tuned.kernels.before, tuned.kernels.after)
    lost = material()
    lost.record["options"]["overrides"]["weights"] = str(home / "gone.keras")
    assert lost.kernels.before is None


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(1, 9))
def test_images_of_as_many_classes_as_can_be(labels, count):
    labels = np.array(labels)
    chosen = of_each_class(labels, count)
    assert len(chosen) == len(set(chosen.tolist())) == min(count, len(labels))
    assert len(set(labels[chosen].tolist())) == min(count, len(set(labels.tolist())))


def test_a_sample_is_in_order_without_repeats_and_the_same_each_time():
    images = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    examples = ArrayExamples(images, np.arange(50))
    first, second = some(examples, 10, 3).labels, some(examples, 10, 3).labels
    np.testing.assert_array_equal(first, second)
    assert (np.diff(first) > 0).all()
    assert some(examples, 50, 3) is examples


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


def test_a_thousand_classes_have_pictures_too():
    random = np.random.default_rng(0)
    labels = np.arange(3000) % 1000
    classes = random.integers(0, 1000, (3000, 5)).astype(np.int32)
    ranks = np.where(classes[:, 0] == labels, 0, 7).astype(np.int32)
    answers = Answers(labels, ranks, classes, np.full((3000, 5), 0.2, np.float32), labels * 0.0)
    wrong = int((ranks > 0).sum())
    material = types.SimpleNamespace(
        answers=answers,
        class_names=[f"class {i}" for i in range(1000)],
        drawable_names=[f"class {i}" for i in range(1000)],
        class_errors=class_errors(answers, 1000),
        evaluation=Evaluation("m", "d", "test", Errors(3000, wrong, wrong, 7.0)),
    )
    (axes,) = PICTURES["confusion"].draw(material, LIGHT).axes
    assert all("→" in label.get_text() for label in axes.get_yticklabels())
    assert "most often" in PICTURES["confusion"].alt(material)
    (axes,) = PICTURES["errors"].draw(material, LIGHT).axes
    assert any("960 classes" in text.get_text() for text in axes.texts)


def test_an_image_takes_a_few_numbers_however_many_classes_there_are():
    answers = Answers(
        np.zeros(10, np.int64),
        np.zeros(10, np.int32),
        np.zeros((10, 5), np.int32),
        np.zeros((10, 5), np.float32),
        np.zeros(10, np.float32),
    )
    assert sum(values.nbytes for values in vars(answers).values()) == 10 * 56


@pytest.mark.slow
def test_facts_are_those_of_the_record(home, made):
    from alexnet_tf.runs import read_run

    found = dict(facts(read_run(home / "run"), 1))
    assert found["Epochs"] == "1 of 1"
    assert found["Trained on"] == "36 images"
    assert found["Network"] == "16 × 16 RGB input"
    assert found["Learning rate"].startswith("1e-30")
