"""Evaluation by center crop and ten crops, against slices counted in NumPy."""

import keras
import numpy as np
import pytest

from alexnet_tf.data.examples import ArrayExamples
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import resized_pixels
from alexnet_tf.evaluation.error_analysis import LabeledPredictions
from alexnet_tf.evaluation.evaluate import evaluate, evaluate_examples
from alexnet_tf.model.networks import build_model
from alexnet_tf.network_settings import Convolution, Network

CLASSES, PIXELS, RESIZED = 7, 8, 13
NETWORK = Network(
    convolutions=(Convolution(4, 3, strides=2),), hidden_units=(), input_size=PIXELS, norm="none"
)


@pytest.fixture(scope="module")
def examples():
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (23, RESIZED, RESIZED, 3), dtype=np.uint8)
    return ArrayExamples(images, random.integers(0, CLASSES, 23))


@pytest.fixture(scope="module")
def model():
    """A linear classifier of all pixels."""
    image = keras.Input((PIXELS, PIXELS, 3))
    weights = keras.initializers.RandomNormal(stddev=1e-3, seed=5)
    flat = keras.layers.Flatten()(image)
    return keras.Model(
        image, keras.layers.Dense(CLASSES, "softmax", kernel_initializer=weights)(flat)
    )


def by_hand(probabilities, labels):
    """Counts and loss from probabilities [n, classes], in NumPy."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rank = np.array([list(row).index(label) for row, label in zip(order, labels, strict=True)])
    loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    return int((rank >= 1).sum()), int((rank >= 5).sum()), loss


def slices(images):
    """The ten crops by slicing: list of ten arrays [n, p, p, 3]."""
    margin, middle = RESIZED - PIXELS, (RESIZED - PIXELS) // 2
    corners = [(0, 0), (0, margin), (margin, 0), (margin, margin), (middle, middle)]
    cut = [images[:, y : y + PIXELS, x : x + PIXELS] for y, x in corners]
    return cut + [crop[:, :, ::-1] for crop in cut]


def check(errors, expected):
    assert (errors.top1_errors, errors.top5_errors) == expected[:2]
    assert errors.loss == pytest.approx(expected[2], rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 23, 500])
def test_evaluate_examples_matches_slicing_for_any_batch_size(model, examples, batch_size):
    crops = [crop.astype(np.float32) for crop in slices(examples.images)]
    each = np.stack([model.predict_on_batch(crop) for crop in crops])
    found = evaluate_examples(model, examples, RESIZED, batch_size, ten_crop=True)
    assert found.center_crop.examples == found.ten_crop.examples == 23  # images, not crops
    check(found.center_crop, by_hand(each[4], examples.labels))
    check(found.ten_crop, by_hand(each.mean(axis=0), examples.labels))
    alone = evaluate_examples(model, examples, RESIZED, batch_size)
    assert alone.ten_crop is None
    check(alone.center_crop, by_hand(each[4], examples.labels))


def test_evaluate_examples_uses_changed_weights(model, examples):
    changed = keras.models.clone_model(model)
    changed.set_weights(model.get_weights())
    before = evaluate_examples(changed, examples, RESIZED).center_crop
    changed.layers[-1].bias.assign([50.0] + [0.0] * (CLASSES - 1))  # always predicts class 0
    after = evaluate_examples(changed, examples, RESIZED).center_crop
    assert after != before
    assert after.top1_errors == int((examples.labels != 0).sum())


def test_evaluate_examples_counts_nan_outputs_as_errors(model, examples):
    broken = keras.models.clone_model(model)
    broken.layers[-1].bias.assign([float("nan")] * CLASSES)
    errors = evaluate_examples(broken, examples, RESIZED).center_crop
    assert errors.top1_errors == errors.top5_errors == 23
    assert np.isnan(errors.loss)
    assert errors.to_json()["loss"] is None


@pytest.mark.parametrize("ten_crop", [False, True])
def test_on_predictions_receives_the_predictions_behind_the_errors(model, examples, ten_crop):
    parts = []
    found = evaluate_examples(
        model, examples, RESIZED, 20, ten_crop=ten_crop, on_predictions=parts.append
    )
    predicted = LabeledPredictions.concatenate(parts)
    np.testing.assert_array_equal(predicted.labels, examples.labels)  # in order, without padding
    assert (predicted.ranks >= 1).sum() == found.center_crop.top1_errors
    assert (predicted.ranks >= 5).sum() == found.center_crop.top5_errors
    loss = -np.log(predicted.label_probabilities.astype(np.float64)).mean()
    assert loss == pytest.approx(found.center_crop.loss)


def test_on_progress_ends_at_the_number_of_images(model, examples):
    calls = []
    evaluate_examples(model, examples, RESIZED, 10, on_progress=lambda *call: calls.append(call))
    assert calls == [(10, 23), (20, 23), (23, 23)]


def test_resized_pixels_is_read_from_the_model(model):
    built = build_model(NETWORK, classes=2, resize_pixels=RESIZED)
    assert resized_pixels(built) == RESIZED
    assert resized_pixels(model) == PIXELS


def test_evaluate_rejects_a_model_without_a_data_set(model):
    with pytest.raises(InputError, match="name the data set"):
        evaluate(model=model)


def test_evaluate_rejects_a_run_with_a_model(model):
    with pytest.raises(InputError, match="not both"):
        evaluate("run", model=model, dataset="shapes")
