"""`predict`: top classes, ten crops, damaged files, the command, the picture."""

import io
import json
import os
import types

import keras
import numpy as np
import pytest
from command_line import run_command
from PIL import Image, ImageOps

from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.classifiers import from_model, open_classifier
from alexnet_tf.evaluation.predict import Damaged, draw_predictions, predict
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import save_model
from alexnet_tf.network_settings import Convolution, Network

NAMES = ("dark", "light", "red")


def small_model(channels=3):
    network = Network(
        convolutions=(Convolution(6, 3, then=("activation", "norm", "pool")),),
        hidden_units=(8,),
        input_size=12,
        channels=channels,
        mean=(120.0,) * channels,
        scale=(1 / 60,),
    )
    return build_model(network, class_names=NAMES, resize_pixels=16, init="he", seed=3)


@pytest.fixture(scope="module")
def model():
    return small_model()


def encoded(seed=0, size=(16, 16), mode="RGB"):
    """A PNG file's bytes, and its pixels."""
    shape = (*size, 3) if mode == "RGB" else size
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, "PNG")
    return file.getvalue(), pixels


def test_prediction_uses_the_center_crop_and_sorts_classes(model):
    content, pixels = encoded()
    (found,) = predict(from_model(model, "m"), [("a.png", content)], top=2)
    expected = model(pixels[None, 2:14, 2:14].astype("float32")).numpy()[0]
    order = np.argsort(-expected)[:2]
    assert [top.number for top in found.top] == order.tolist()
    assert [top.name for top in found.top] == [NAMES[i] for i in order]
    np.testing.assert_allclose([t.probability for t in found.top], expected[order], atol=1e-6)
    np.testing.assert_array_equal(found.pixels, pixels)


def test_ten_crops_are_averaged(model):
    content, pixels = encoded(1)
    (found,) = predict(from_model(model, "m"), [("a.png", content)], top=9, ten_crop=True)
    corners = [(y, x) for y in (0, 4) for x in (0, 4)] + [(2, 2)]
    crops = np.stack([pixels[y : y + 12, x : x + 12] for y, x in corners]).astype("float32")
    expected = model(np.concatenate([crops, crops[:, :, ::-1]])).numpy().mean(axis=0)
    got = {top.number: top.probability for top in found.top}
    np.testing.assert_allclose([got[i] for i in range(3)], expected, atol=1e-6)


def test_equal_probabilities_are_sorted_by_class_number(model):
    even = types.SimpleNamespace(**vars(from_model(model, "m")))
    even.probabilities = lambda images: np.full((len(images), 3), 1 / 3, np.float32)
    (found,) = predict(even, [("a.png", encoded()[0])])
    assert [top.number for top in found.top] == [0, 1, 2]


def test_predictions_of_several_batches_keep_the_order_of_all_images(model):
    images = [(f"{i}.png", encoded(i)[0]) for i in range(130)]
    images[3] = ("3.png", images[3][1][:60])
    images[70] = ("70.png", b"")
    images[99] = ("99.png", "Permission denied")
    found = list(predict(from_model(model, "m"), images))
    assert [prediction.image for prediction in found] == [name for name, _ in images]
    damaged = [prediction for prediction in found if isinstance(prediction, Damaged)]
    assert [prediction.image for prediction in damaged] == ["3.png", "70.png", "99.png"]
    assert damaged[2].reason == "Permission denied"


def test_gray_and_rgb_networks_take_gray_and_rgb_files(model):
    for network in (model, small_model(channels=1)):
        for mode in ("RGB", "L"):
            (found,) = predict(from_model(network, "m"), [("a", encoded(0, (20, 30), mode)[0])])
            assert sum(top.probability for top in found.top) == pytest.approx(1, abs=1e-5)


def test_top_below_one_is_rejected(model):
    with pytest.raises(InputError, match="--top"):
        list(predict(from_model(model, "m"), [], top=0))


@pytest.mark.parametrize("name", ["m.txt", "m.tflite", "m.keras", "folder"])
def test_file_that_is_not_a_model_is_rejected_by_name(name, tmp_path):
    if name == "folder":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(b"no model" * 20)
    with pytest.raises(InputError, match=name):
        open_classifier(tmp_path / name)
    with pytest.raises(InputError, match=r"other\.keras"):
        open_classifier(tmp_path / "other.keras")


@pytest.fixture
def files(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(model, "m.keras")
    (tmp_path / "photos").mkdir()
    for i in range(3):
        (tmp_path / "photos" / f"{i}.png").write_bytes(encoded(i)[0])
    return tmp_path


def ran(arguments, capsys):
    return run_command(["predict", "--model", "m.keras", *arguments], capsys)


def test_command_prints_one_json_object(files, capsys):
    code, out, err = ran(["photos", "--json", "--top", "2"], capsys)
    assert (code, err, out.count("\n")) == (0, "", 1)
    values = json.loads(out)
    assert values["crops"] == 1 and values["damaged"] == []
    assert [image["image"] for image in values["images"]] == [f"photos/{i}.png" for i in range(3)]
    for image in values["images"]:
        first, second = image["top"]
        assert first.keys() == {"index", "class", "probability"}
        assert NAMES[first["index"]] == first["class"]
        assert first["probability"] >= second["probability"]


def test_command_reports_damaged_files_and_exits_with_1(files, capsys):
    (files / "photos" / "1.png").write_bytes(b"\x89PNG\r\n")
    code, out, err = ran(["photos"], capsys)
    assert code == 1
    assert "photos/1.png" in err and "photos/1.png" not in out
    assert "photos/0.png" in out and "photos/2.png" in out and "█" in out


def test_name_that_is_not_utf_8_is_printed_escaped(files, capsys):
    name = os.fsdecode(b"photos/caf\xe9.png")
    (files / "photos" / "1.png").rename(files / name)
    (files / os.fsdecode(b"photos/cut\xe9.png")).write_bytes(b"cut")
    code, out, err = ran(["photos", "--picture", "seen.png"], capsys)
    assert code == 1
    assert all(f"photos/{shown}.png" in out for shown in ("0", "2", r"caf\xe9"))
    assert r"photos/cut\xe9.png" in err
    code, out, _ = ran(["photos", "--json"], capsys)
    assert (code, out.count("\n")) == (1, 1)
    assert name in [image["image"] for image in json.loads(out)["images"]]


def test_image_is_read_from_standard_input(files, capsys, monkeypatch):
    fake = types.SimpleNamespace(buffer=io.BytesIO(encoded(0)[0]))
    monkeypatch.setattr("sys.stdin", fake)
    code, out, _ = ran(["-", "--json"], capsys)
    assert code == 0
    assert json.loads(out)["images"][0]["image"] == "standard input"


def test_picture_shows_every_image(files, capsys):
    code, _, err = ran(["photos", "--picture", "seen.png"], capsys)
    assert (code, err) == (0, "picture: seen.png\n")
    with Image.open("seen.png") as picture:
        wide = picture.size[0]
    assert ran(["photos/0.png", "--picture", "one.png"], capsys)[0] == 0
    with Image.open("one.png") as picture:
        assert wide > 2 * picture.size[0]


@pytest.mark.parametrize("name", ["seen.txt", "no-folder/seen.png"])
def test_unwritable_picture_is_rejected_first(files, capsys, name):
    code, out, err = ran(["photos", "--picture", name], capsys)
    assert (code, out) == (2, "") and name in err


def test_picture_of_one_class_and_a_gray_image(tmp_path):
    gray = from_model(small_model(channels=1), "m")
    found = list(predict(gray, [("a" * 50, encoded()[0])], top=1))
    draw_predictions(found, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().count("<image") == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(model, orientation):
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(encoded(4)[1]).save(file, "PNG", exif=exif)
    (found,) = predict(from_model(model, "m"), [("photo.png", file.getvalue())])
    upright = ImageOps.exif_transpose(Image.open(file))
    np.testing.assert_array_equal(found.pixels, np.asarray(upright))


def test_transparent_pixels_are_white(model):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[:8, :, 3] = 0
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    (found,) = predict(from_model(model, "m"), [("logo.png", file.getvalue())])
    assert (found.pixels[:8] == 255).all()
    np.testing.assert_array_equal(found.pixels[8:], pixels[8:, :, :3])


@keras.saving.register_keras_serializable("somebody")
class SomebodysLayer(keras.layers.Layer):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize("layer", [None, SomebodysLayer, "lambda"])
@pytest.mark.parametrize("command", ["predict photo.png", "evaluate --dataset photos"])
def test_foreign_keras_model_is_rejected_with_what_is_needed(layer, command, tmp_path, capsys):
    image = keras.Input((8, 8, 3))
    inside = keras.layers.Flatten()(image)
    if layer is not None:
        made = keras.layers.Lambda(lambda x: x) if layer == "lambda" else layer()
        inside = made(inside)
    output = keras.layers.Dense(2, "softmax", name="prob")(inside)
    keras.Model(image, output).save(tmp_path / "foreign.keras")
    Image.new("RGB", (9, 9)).save(tmp_path / "photo.png")
    words = [word.replace("photo", str(tmp_path / "photo")) for word in command.split()]
    code, _, err = run_command([*words, "--model", tmp_path / "foreign.keras"], capsys)
    assert code == 2
    (line,) = err.splitlines()
    for word in ("foreign.keras", "not one of this package", "`mean`", "`prob`", "0 to 255"):
        assert word in line
