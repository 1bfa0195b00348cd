"""Cached features: computed once, and recomputed if the model or the data changes."""

import contextlib
import os
from pathlib import Path

import filelock
import keras
import numpy as np
import pytest
from PIL import Image

from alexnet_tf.errors import InputError
from alexnet_tf.evaluation import features
from alexnet_tf.evaluation.classifiers import preprocessing_of
from alexnet_tf.evaluation.features import FeatureExtractor, open_index
from alexnet_tf.evaluation.predict import ImageReader
from alexnet_tf.evaluation.similarity import nearest
from alexnet_tf.model.persistence import save_model

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def extractor(small_model):
    return FeatureExtractor(small_model)


def test_features_equal_the_last_hidden_layer_of_the_center_crop(extractor, small_model):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, 14, 14, 3), dtype=np.uint8)
    names = [layer.name for layer in small_model.layers]
    hidden = small_model.layers[names.index("fc3") + 1]
    body = keras.Model(small_model.input, hidden.output)
    expected = body(images[:, 1:13, 1:13].astype(np.float32), training=False)
    found = extractor(images)
    assert (found.shape, found.dtype) == ((3, 12), np.float32)
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(expected), rtol=1e-5, atol=1e-6)
    assert found.min() == 0 < found.max()


def test_index_has_the_features_of_each_image_in_order(extractor, small_model_file, colored):
    calls = []
    index = open_index(
        small_model_file, colored, extractor=extractor, on_progress=lambda *c: calls.append(c)
    )
    assert (len(index), index.split, index.class_names) == (24, "train", ("blue", "green", "red"))
    assert calls[-1] == (24, 24)
    assert index.folder.parent == small_model_file.with_suffix(".features")
    for number in (0, 13, 23):
        pixels = np.asarray(Image.open(index.examples.name(number)))[:, 1:15]
        np.testing.assert_allclose(extractor(pixels[None])[0], index.features[number], atol=1e-5)


def test_index_is_reused_until_the_data_or_the_model_changes(
    extractor, small_model, small_model_file, colored, monkeypatch
):
    computed = []
    compute = features._compute

    def counted(*arguments):
        computed.append(1)
        compute(*arguments)

    monkeypatch.setattr(features, "_compute", counted)
    first = open_index(small_model_file, colored, extractor=extractor)
    again = open_index(small_model_file, str(colored) + "/", extractor=extractor)
    assert (len(computed), again.folder) == (1, first.folder)
    np.testing.assert_array_equal(first.features, again.features)
    (colored / "red" / "7.png").unlink()
    fewer = open_index(small_model_file, colored, extractor=extractor)
    assert (len(computed), len(fewer)) == (2, 23)
    assert list(fewer.folder.parent.glob("*/")) == [fewer.folder]  # the old one is gone
    changed = keras.models.clone_model(small_model)
    changed.set_weights([weight * 1.5 for weight in small_model.get_weights()])
    save_model(changed, small_model_file)
    other = open_index(small_model_file, colored)
    assert len(computed) == 3
    assert np.abs(other.features - fewer.features).max() > 0.1


def test_folder_without_classes_includes_its_subfolders(
    extractor, small_model_file, colored, tmp_path
):
    loose = tmp_path / "loose"
    loose.mkdir()
    for i in range(3):
        os.link(colored / "red" / f"{i}.png", loose / f"{i}.png")
    (loose / "deeper").mkdir()
    os.link(colored / "blue" / "0.png", loose / "deeper" / "0.png")
    index = open_index(small_model_file, loose, extractor=extractor)
    assert (len(index), index.class_names, index.split) == (4, None, "")
    with pytest.raises(InputError, match="without splits"):
        open_index(small_model_file, loose, extractor=extractor, split="test")


def test_name_of_a_tfds_set_needs_a_slash_to_mean_a_folder(
    extractor, small_model_file, colored, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (colored / "red").rename(tmp_path / "mnist")
    named = []

    def opened(name, **options):
        named.append(name)
        raise InputError("searched in TFDS")

    monkeypatch.setattr(features, "open_dataset", opened)
    with pytest.raises(InputError, match="searched in TFDS"):
        open_index(small_model_file, "mnist", extractor=extractor)
    assert named == ["mnist"]
    assert len(open_index(small_model_file, "./mnist", extractor=extractor)) == 8


def test_damaged_images_are_skipped_in_features_and_names(extractor, small_model_file, colored):
    content = (colored / "red" / "1.png").read_bytes()
    for i in range(100):
        (colored / "red" / f"more-{i:03}.png").write_bytes(content)
    (colored / "green" / "2.png").write_bytes(content[:40])
    for _ in range(2):  # computed, and read
        index = open_index(small_model_file, colored, extractor=extractor)
        assert len(index) == len(index.examples) == 123
        assert not any("green/2.png" in index.examples.name(i) for i in range(123))


def test_read_errors_that_pass_are_not_cached(
    extractor, small_model_file, colored, tmp_path, monkeypatch
):
    monkeypatch.setattr("alexnet_tf.data.scan.MAX_DAMAGED_FRACTION", 0.1)
    photo, damaged = colored / "red" / "1.png", colored / "green" / "2.png"
    damaged.write_bytes(b"not an image")
    compute = features._compute

    def compute_without_photo(*arguments):
        photo.rename(tmp_path / "away.png")  # as if a network file system failed meanwhile
        compute(*arguments)
        (tmp_path / "away.png").rename(photo)

    with monkeypatch.context() as patch:
        patch.setattr(features, "_compute", compute_without_photo)
        assert len(open_index(small_model_file, colored, extractor=extractor)) == 22
    index = open_index(small_model_file, colored, extractor=extractor)
    names = [index.examples.name(number) for number in range(len(index))]
    assert len(names) == 23 and str(photo) in names and str(damaged) not in names
    pixels = np.asarray(Image.open(photo))[:, 1:15]
    found = index.features[names.index(str(photo))]
    np.testing.assert_allclose(extractor(pixels[None])[0], found, atol=1e-5)
    # The damaged image alone is remembered: nothing is computed again.
    monkeypatch.setattr(features, "_compute", None)
    assert len(open_index(small_model_file, colored, extractor=extractor)) == 23


def test_photo_in_the_folder_is_its_own_nearest_image(
    extractor, small_model, small_model_file, tmp_path
):
    random = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):  # stored sideways: 30 pixels wide if the orientation is ignored
        coarse = random.integers(0, 256, (4, 5, 3), np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 6
        photo = Image.fromarray(coarse).resize((30, 20), Image.Resampling.BICUBIC)
        photo.save(folder / f"{number}.jpg", exif=exif)
    transparent = Image.new("RGBA", (20, 20), (10, 20, 200, 0))
    transparent.paste((250, 0, 0, 255), (0, 0, 20, 8))
    transparent.save(folder / "logo.webp", lossless=True)
    index = open_index(small_model_file, folder, extractor=extractor)
    reader = ImageReader(preprocessing_of(small_model))
    for path in sorted(folder.iterdir()):
        _, pixels = reader.read(path.name, path.read_bytes())
        ((first, second),) = nearest(index, extractor(pixels[None]), top=2)
        assert first.name == str(path)
        assert first.distance == pytest.approx(0, abs=1e-4)
        assert second.distance > 0.01


def test_interrupted_computation_leaves_nothing_and_restarts(
    extractor, small_model_file, colored, monkeypatch
):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FeatureExtractor, "of_examples", killed)
        with pytest.raises(KeyboardInterrupt):
            open_index(small_model_file, colored, extractor=extractor)
    root = small_model_file.with_suffix(".features")
    assert list(root.glob("*/")) == []
    (root / ".colored-train.writing").mkdir()  # as a killed process leaves it
    (root / ".colored-train.writing" / "good.npy").touch()
    index = open_index(small_model_file, colored, extractor=extractor)
    assert list(root.glob("*/")) == [index.folder]


def test_features_of_a_read_only_model_are_in_the_cache_of_the_user(
    extractor, small_model_file, colored, tmp_path, monkeypatch
):
    beside = open_index(small_model_file, colored, extractor=extractor)
    away = small_model_file.parent / "away"
    # As of a read-only mount: root, too, must not write there.
    places = (small_model_file.parent, small_model_file.with_suffix(".features"))
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in places)
    assert open_index(small_model_file, colored, extractor=extractor).folder == beside.folder
    beside.folder.parent.rename(away)
    index = open_index(small_model_file, colored, extractor=extractor)
    assert index.folder.is_relative_to(tmp_path / "cache" / "alexnet_tf" / "features")
    assert not small_model_file.with_suffix(".features").exists()
    np.testing.assert_array_equal(
        index.features, np.load(away / index.folder.name / "features.npy")
    )
    monkeypatch.setattr(features, "_compute", None)  # not computed again
    assert open_index(small_model_file, colored, extractor=extractor).folder == index.folder


def test_second_process_waits_and_uses_the_features_of_the_first(
    extractor, small_model_file, colored, monkeypatch
):
    lock_file = small_model_file.with_suffix(".features") / ".lock"
    compute = features._compute

    def compute_under_lock(*arguments):
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(lock_file, timeout=0).acquire()
        compute(*arguments)

    monkeypatch.setattr(features, "_compute", compute_under_lock)
    whole = open_index(small_model_file, colored, extractor=extractor)
    away = whole.folder.rename(whole.folder.parent / "away")

    @contextlib.contextmanager
    def released_by_the_first(path, name, reporter):
        assert path == lock_file
        away.rename(whole.folder)
        yield

    monkeypatch.setattr(features, "locked", released_by_the_first)
    monkeypatch.setattr(features, "_compute", None)
    found = open_index(small_model_file, colored, extractor=extractor)
    np.testing.assert_array_equal(found.features, whole.features)


def test_damaged_features_and_unknown_splits_are_rejected(extractor, small_model_file, colored):
    with pytest.raises(InputError, match="no split 'test'"):
        open_index(small_model_file, colored, extractor=extractor, split="test")
    index = open_index(small_model_file, colored, extractor=extractor)
    (index.folder / "features.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match="remove it"):
        open_index(small_model_file, colored, extractor=extractor)


def test_image_beside_class_folders_does_not_hide_them(
    extractor, small_model_file, colored, tmp_path
):
    os.link(colored / "red" / "0.png", colored / "data-photos.png")
    index = open_index(small_model_file, colored, extractor=extractor, split="train")
    assert (len(index), len(index.class_names), index.split) == (24, 3, "train")
    (tmp_path / "whole").mkdir()
    colored.rename(tmp_path / "whole" / "train")
    os.link(tmp_path / "whole" / "train" / "red" / "0.png", tmp_path / "whole" / "0.png")
    index = open_index(small_model_file, tmp_path / "whole", extractor=extractor)
    assert (len(index), index.split) == (24, "train")
