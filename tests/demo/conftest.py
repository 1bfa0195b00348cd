import numpy as np
import pytest
from PIL import Image

from alexnet_tf.demo.predictor import Predictor
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import save_model
from alexnet_tf.network_settings import Convolution, Network

NAMES = ("blue", "green <b>", "red")  # names must be escaped


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images in three classes, distinguished by color."""
    root = tmp_path_factory.mktemp("demo") / "photos"
    random = np.random.default_rng(0)
    for label, color in enumerate(NAMES):
        (root / color).mkdir(parents=True)
        for i in range(4):
            image = random.integers(0, 80, (20, 24, 3)).astype(np.uint8)
            image[..., 2 - label] += 170
            Image.fromarray(image).save(root / color / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def model():
    network = Network(
        convolutions=(Convolution(10, 5, strides=2),), hidden_units=(16,), input_size=16
    )
    return build_model(network, class_names=NAMES, resize_pixels=20, init="he", seed=1)


@pytest.fixture(scope="module")
def predictor(model, photos):
    path = photos.parent / "m.keras"
    save_model(model, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(photos.parent / "cache"))
        return Predictor(path, photos)
