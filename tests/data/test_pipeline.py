"""The training stream: each example once per epoch, however it is cut up."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alexnet_tf.data.augment import draw, draw_lighting, lighting_offsets
from alexnet_tf.data.examples import ArrayExamples, FileExamples
from alexnet_tf.data.images import resize_and_crop
from alexnet_tf.data.pipeline import (
    Shard,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.errors import InputError
from alexnet_tf.recipes import get_recipe

_RECIPE = get_recipe("shapes")
RECIPE = dataclasses.replace(
    _RECIPE, network=_RECIPE.network.replace(input_size=6), resize_pixels=9
)
STATISTICS = Statistics(
    mean_image=np.zeros((9, 9, 3), np.float32),
    rgb_stds=np.array([5.0, 20.0, 60.0]),
    rgb_eigenvectors=np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0],
)


def numbered(size, channels=3):
    """Returns examples whose label is their number."""
    images = np.random.default_rng(0).integers(0, 256, (size, 9, 9, channels), np.uint8)
    return ArrayExamples(images, np.arange(size))


def batches(examples, recipe=RECIPE, **options):
    options = {"seed": 0, "epoch": 0, **options}
    return list(training_batches(examples, recipe, STATISTICS, **options).as_numpy_iterator())


def joined(parts, key):
    return np.concatenate([part[key] for part in parts])


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_each_example_once_and_the_same_stream_however_it_is_shared(data):
    workers, replicas = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    batch_size = workers * replicas * data.draw(st.integers(1, 5))
    examples = numbered(data.draw(st.integers(batch_size, 60)))
    options = {
        "batch_size": batch_size,
        "seed": data.draw(st.integers(0, 9)),
        "epoch": data.draw(st.integers(0, 9)),
    }
    alone = batches(examples, **options)
    steps = steps_per_epoch(len(examples), batch_size)
    assert len(alone) == steps
    weights, labels = joined(alone, "weight"), joined(alone, "label")
    np.testing.assert_array_equal(np.sort(labels[weights == 1]), np.arange(len(examples)))
    assert set(np.unique(weights)) <= {0.0, 1.0}
    # Only the end of the last batch is filling.
    assert (weights == (np.arange(len(weights)) < len(examples))).all()
    shared = [
        batches(examples, **options, shard=Shard(worker, workers, replicas))
        for worker in range(workers)
    ]
    assert {len(stream) for stream in shared} == {steps * replicas}
    for step in range(steps):
        parts = [
            part for stream in shared for part in stream[step * replicas : (step + 1) * replicas]
        ]
        for key, whole in alone[step].items():
            np.testing.assert_array_equal(joined(parts, key), whole)
    skip = data.draw(st.integers(0, steps))
    tail = batches(examples, **options, skip_batches=skip)
    assert len(tail) == steps - skip
    for got, expected in zip(tail, alone[skip:], strict=True):
        for key, whole in expected.items():
            np.testing.assert_array_equal(got[key], whole)


def test_what_is_in_a_batch():
    examples = numbered(20)
    dataset = training_batches(examples, RECIPE, STATISTICS, seed=0, epoch=0, batch_size=8)
    assert {key: (spec.shape, spec.dtype) for key, spec in dataset.element_spec.items()} == {
        "image": ((8, 6, 6, 3), tf.uint8),
        "label": ((8,), tf.int64),
        "weight": ((8,), tf.float32),
        "offset": ((8, 3), tf.float32),
    }


def test_images_and_offsets_are_those_drawn_for_the_example():
    examples = numbered(20)
    parts = batches(examples, seed=4, epoch=2, batch_size=5)
    tops, lefts, flips = draw(4, 2, np.arange(20), margin=3)
    alphas = draw_lighting(4, 2, np.arange(20))
    offsets = lighting_offsets(alphas, STATISTICS.rgb_stds, STATISTICS.rgb_eigenvectors)
    for image, label, offset in zip(
        joined(parts, "image"), joined(parts, "label"), joined(parts, "offset"), strict=True
    ):
        y, x = tops[label], lefts[label]
        crop = examples.images[label, y : y + 6, x : x + 6]
        np.testing.assert_array_equal(image, crop[:, ::-1] if flips[label] else crop)
        np.testing.assert_array_equal(offset, offsets[label])
    assert np.abs(offsets).min() > 0


def test_seeds_and_epochs_shuffle_anew():
    examples = numbered(200)
    orders = [
        tuple(joined(batches(examples, batch_size=50, seed=seed, epoch=epoch), "label"))
        for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))
    ]
    assert orders[0] == orders[3]
    assert len(set(orders)) == 3


@pytest.mark.parametrize(
    ("recipe", "channels"),
    [
        (RECIPE.replace(lighting_std=0.0), 3),
        (RECIPE, 1),
    ],
)
def test_lighting_off(recipe, channels):
    parts = batches(numbered(10, channels), recipe, batch_size=10)
    assert not joined(parts, "offset").any()
    on = batches(numbered(10, channels), batch_size=10)
    np.testing.assert_array_equal(joined(parts, "image"), joined(on, "image"))


def test_variance_units_are_handed_on():
    parts = batches(numbered(10), RECIPE.replace(lighting_units="variance"), batch_size=10)
    alphas = draw_lighting(0, 0, joined(parts, "label"))
    expected = (alphas * STATISTICS.rgb_stds**2) @ STATISTICS.rgb_eigenvectors.T
    np.testing.assert_allclose(joined(parts, "offset"), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "at least 1"),
        ({"batch_size": 11}, "batch size 11 is larger than the training set of 10"),
        ({"batch_size": 9, "shard": Shard(0, 2, 2)}, "batch size 9 does not divide by the 4"),
    ],
)
def test_wrong_batch_sizes(options, message):
    with pytest.raises(InputError, match=message):
        batches(numbered(10), **options)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(10)]
    for path in paths:
        size = (*rng.integers(9, 30, 2), 3)
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(path)
    return FileExamples(paths, np.arange(10))


def test_files_and_the_same_images_in_memory_give_the_same_stream(files):
    images = np.stack([resize_and_crop(files.load(i), 9).numpy() for i in range(10)])
    in_memory = ArrayExamples(images, files.labels)
    for from_files, from_memory in zip(
        batches(files, batch_size=4), batches(in_memory, batch_size=4), strict=True
    ):
        # Files are rescaled for the crop alone, which rounds in another order.
        levels = from_files.pop("image").astype(int) - from_memory.pop("image")
        assert np.abs(levels).max() <= 1
        assert np.count_nonzero(levels) < 0.01 * levels.size
        for key, value in from_memory.items():
            np.testing.assert_array_equal(from_files[key], value)
    judged = evaluation_batches(files, 9, 4).as_numpy_iterator()
    np.testing.assert_array_equal(joined(list(judged), "image")[:10], images)


def test_the_end_of_an_epoch_waits_for_no_tuner():
    streams = (
        training_batches(numbered(10), RECIPE, STATISTICS, seed=0, epoch=0, batch_size=5),
        evaluation_batches(numbered(10), 9, 5),
    )
    for stream in streams:
        assert stream.options().autotune.enabled is False


@given(st.integers(1, 30), st.integers(1, 12))
@settings(max_examples=15, deadline=None)
def test_evaluation_goes_through_all_in_order(size, batch_size):
    examples = numbered(size)
    dataset = evaluation_batches(examples, 9, batch_size)
    assert dataset.element_spec["image"].shape == (batch_size, 9, 9, 3)
    parts = list(dataset.as_numpy_iterator())
    assert len(parts) == steps_per_epoch(size, batch_size)
    assert joined(parts, "weight").tolist() == [1.0] * size + [0.0] * (-size % batch_size)
    np.testing.assert_array_equal(joined(parts, "label")[:size], np.arange(size))
    np.testing.assert_array_equal(joined(parts, "image")[:size], examples.images)


def test_evaluation_resizes():
    parts = list(evaluation_batches(numbered(4), 12, 4).as_numpy_iterator())
    np.testing.assert_array_equal(parts[0]["image"], resize_and_crop(numbered(4).images, 12))


def test_evaluation_of_nothing_is_refused():
    with pytest.raises(InputError, match="no examples"):
        evaluation_batches(numbered(0), 9, 4)
    with pytest.raises(InputError, match="at least 1"):
        evaluation_batches(numbered(3), 9, 0)


def test_crops_come_out_of_the_border_too_from_memory_and_from_files(tmp_path):
    recipe = dataclasses.replace(RECIPE, pad_pixels=2, lighting_std=0.0)
    examples = numbered(24)
    images = np.stack([examples.load(tf.constant(i)).numpy() for i in range(24)])
    paths = []
    for i, image in enumerate(images):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(image).save(paths[-1])
    files = FileExamples(paths, np.arange(24))
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    tops, lefts, flips = draw(0, 0, np.arange(24), margin=9 + 4 - 6)
    assert tops.max() > 9 - 6  # some begin beyond where they could without a border
    for kind in (examples, files):
        for batch in batches(kind, recipe, batch_size=8):
            for image, label in zip(batch["image"], batch["label"], strict=True):
                y, x = tops[label], lefts[label]
                wanted = padded[label, y : y + 6, x : x + 6]
                np.testing.assert_array_equal(image, wanted[:, ::-1] if flips[label] else wanted)
