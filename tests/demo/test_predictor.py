"""What the demo computes for an image, without its page."""

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

from alexnet_tf.demo import predictor as predictor_module
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import from_model
from alexnet_tf.evaluation.predict import predict


@pytest.mark.parametrize("ten_crops", [False, True])
def test_classes_equal_those_of_predict(predictor, model, photos, ten_crops):
    path = photos / "red" / "1.png"
    found = predictor.predict(path, ten_crops)
    content = [("x", path.read_bytes())]
    (expected,) = predict(from_model(model, "m"), content, ten_crop=ten_crops)
    assert found.top == expected.top
    assert len(found.top) == 3


def test_kernels_have_the_largest_activations(predictor, model, photos):
    path = photos / "red" / "1.png"
    crop = np.asarray(Image.open(path), np.float32)[None, 2:18, 4:20]
    conv1 = keras.Model(model.input, model.get_layer("conv1").output)
    channels = np.maximum(keras.ops.convert_to_numpy(conv1(crop, training=False))[0], 0)
    largest = channels.max(axis=(0, 1))
    found = predictor.predict(path).kernels
    assert [kernel.number - 1 for kernel in found] == np.argsort(-largest)[:8].tolist()
    first = found[0]
    assert first.max_activation == pytest.approx(largest.max(), rel=1e-4)
    np.testing.assert_allclose(
        first.activations, channels[..., first.number - 1] / largest.max(), atol=1e-4
    )
    assert (first.pixels.shape, first.pixels.dtype) == ((5, 5, 3), np.uint8)


def test_image_of_the_data_set_is_its_own_nearest_image(predictor, photos):
    similar = predictor.predict(photos / "blue" / "2.png").similar
    assert len(similar) == 8
    pixels, neighbor = similar[0]
    assert neighbor.name == str(photos / "blue" / "2.png")
    np.testing.assert_array_equal(
        pixels, np.asarray(Image.open(photos / "blue" / "2.png"))[:, 2:22]
    )


def test_webp_gives_the_prediction_of_the_same_png(predictor, photos, tmp_path):
    image = Image.open(photos / "red" / "1.png")
    image.save(tmp_path / "a.webp", lossless=True)
    assert (
        predictor.predict(tmp_path / "a.webp").top
        == predictor.predict(photos / "red" / "1.png").top
    )


def test_turned_transparent_webp_gives_the_prediction_of_predict(predictor, model, tmp_path):
    pixels = np.zeros((24, 30, 4), np.uint8)
    pixels[:12, :, 0], pixels[:, :20, 3] = 200, 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.webp"
    Image.fromarray(pixels).save(path, lossless=True, exif=exif)
    (expected,) = predict(from_model(model, "m"), [("x", path.read_bytes())])
    assert predictor.predict(path).top == expected.top
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    white = 255 * (upright[..., 3:] == 0) + upright[..., :3] * (upright[..., 3:] == 255)
    Image.fromarray(white.astype(np.uint8)).save(tmp_path / "upright.png")
    assert predictor.predict(tmp_path / "upright.png").top == expected.top


def test_unusable_files_give_a_message_for_the_page(predictor, photos, tmp_path, monkeypatch):
    whole = (photos / "red" / "1.png").read_bytes()
    for content in (b"", b"text", whole[:60], whole[: len(whole) // 2]):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(InputError, match=r"^This image cannot be read: .*\.$"):
            predictor.predict(tmp_path / "a.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 10**6
    with pytest.raises(InputError, match="more than 67 million pixels"):
        predictor.predict(tmp_path / "bomb.png")
    monkeypatch.setattr(predictor_module, "MAX_UPLOAD_BYTES", 100)
    with pytest.raises(InputError, match="file is too large"):
        predictor.predict(photos / "red" / "1.png")
