"""A small model with every kind of layer, and images to run it on."""

import io

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import save_model
from alexnet_tf.network_settings import Convolution, Network

NAMES = ("dark blue", "light", "red", "yellow", "brown", "grüne Wiese")


def small_network(**changes):
    return Network(
        convolutions=(
            Convolution(16, 5, strides=2, padding="ceil", then=("activation", "norm", "pool")),
            Convolution(16, 3, groups=2),
        ),
        hidden_units=(64, 40),
        input_size=32,
        lrn_alpha=1e-2,  # so that normalization has a visible effect
        dropout_style="paper",
        mean=(120.0, 110.0, 100.0),
        scale=(1 / 30,),
    ).replace(**changes)


@pytest.fixture(scope="session")
def model():
    return build_model(small_network(), class_names=NAMES, resize_pixels=36, init="he", seed=1)


@pytest.fixture(scope="session")
def model_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.keras"
    save_model(model, path)
    return path


@pytest.fixture(scope="session")
def resized():
    """uint8 [24, 36, 36, 3], as smooth as photos."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (24, 4, 4, 3), np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(c).resize((36, 36), Image.BICUBIC)) for c in coarse]
    )


@pytest.fixture(scope="session")
def jpegs(resized):
    """JPEG files of several sizes, none of them the network's."""
    contents = []
    for number, image in enumerate(resized[:4]):
        file = io.BytesIO()
        Image.fromarray(image).resize((50 + 20 * number, 60)).save(file, "JPEG")
        contents.append(file.getvalue())
    return contents
