"""The training stream from prepared sets, classes that count alike, reflection on the device."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data.examples import ArrayExamples, FileExamples
from alexnet_tf.data.images import flip_horizontally
from alexnet_tf.data.pipeline import (
    Shard,
    balanced_weights,
    evaluation_batches,
    training_batches,
)
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.prepare.prepare import prepare
from alexnet_tf.recipes import get_recipe

_RECIPE = get_recipe("shapes")
RECIPE = dataclasses.replace(
    _RECIPE, network=_RECIPE.network.replace(input_size=12), resize_pixels=16
)
STATISTICS = Statistics(
    mean_image=np.zeros((16, 16, 3), np.float32),
    rgb_stds=np.array([5.0, 20.0, 60.0]),
    rgb_eigenvectors=np.eye(3),
)


@pytest.fixture(scope="module", params=["jpeg", "raw"])
def examples(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    for i in range(37):
        path = root / "photos" / f"class{i % 3}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (4, 5, 3), np.uint8)
        Image.fromarray(noise).resize((20, 16), Image.Resampling.BICUBIC).save(path)
    made = prepare(str(root / "photos"), root / "out", size=16, kind=request.param, processes=1)
    return open_dataset(made.folder).splits["train"]


def in_memory(examples):
    images = [examples.load(tf.constant(i, tf.int64)).numpy() for i in range(len(examples))]
    return ArrayExamples(np.stack(images), examples.labels)


def batches(examples, **options):
    options = {"seed": 0, "epoch": 0, "batch_size": 8, **options}
    return list(training_batches(examples, RECIPE, STATISTICS, **options).as_numpy_iterator())


def assert_same(got, expected):
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def test_a_prepared_set_gives_the_stream_of_the_same_images_in_memory(examples):
    for options in ({}, {"epoch": 3, "skip_batches": 2}, {"shard": Shard(1, 2)}):
        assert_same(batches(examples, **options), batches(in_memory(examples), **options))


def test_a_subset_of_a_prepared_set_too(examples):
    some = np.array([30, 2, 17, 5, 11, 8, 21, 0, 36])
    assert_same(batches(examples.subset(some)), batches(in_memory(examples).subset(some)))
    assert examples.subset(some).stored_statistics is None


def test_judging_a_prepared_set(examples):
    got, expected = (
        list(evaluation_batches(e, 16, 8).as_numpy_iterator())
        for e in (examples, in_memory(examples))
    )
    assert_same(got, expected)


def test_flips_on_the_device_give_the_same_images(examples):
    whole, apart = batches(examples), batches(examples, flip_on_device=True)
    assert any(batch["flip"].any() for batch in apart)
    for batch in apart:
        batch["image"] = flip_horizontally(batch["image"], batch.pop("flip")).numpy()
    assert_same(apart, whole)


def test_balanced_weights_let_classes_count_alike(examples):
    labels = np.array([0] * 6 + [1] * 3 + [3])
    weights = balanced_weights(labels, 5)
    np.testing.assert_allclose(weights, [10 / 18, 10 / 9, 0, 10 / 3, 0], rtol=1e-6)
    assert weights[labels].sum() == pytest.approx(10)
    for batch in batches(examples, class_weights=np.array([1.0, 2.0, 5.0])):
        expected = batch["weight"] * np.array([1.0, 2.0, 5.0], np.float32)[batch["label"]]
        np.testing.assert_array_equal(batch["loss_weight"], expected)


def test_files_are_cut_as_arrays_are(tmp_path):
    paths, images = [], []
    for i in range(9):
        noise = np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(noise).save(paths[-1])
        images.append(noise)
    labels = np.arange(9)
    assert_same(
        batches(FileExamples(paths, labels), batch_size=4),
        batches(ArrayExamples(np.stack(images), labels), batch_size=4),
    )
