import numpy as np
import pytest
from PIL import Image

from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import save_model
from alexnet_tf.network_settings import Convolution, Network


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def small_model():
    """A network with two hidden layers, like AlexNet."""
    network = Network(
        convolutions=(Convolution(6, 3, strides=2, then=("activation", "pool")),),
        hidden_units=(24, 12),
        input_size=12,
        mean=(120.0, 110.0, 100.0),
        scale=(1 / 60,),
    )
    return build_model(
        network, class_names=("blue", "green", "red"), resize_pixels=14, init="he", seed=1
    )


@pytest.fixture
def small_model_file(small_model, tmp_path):
    save_model(small_model, tmp_path / "small.keras")
    return tmp_path / "small.keras"


@pytest.fixture
def colored(tmp_path):
    """A folder of 24 small images in three classes, one color each."""
    random = np.random.default_rng(0)
    for label, color in enumerate(("blue", "green", "red")):
        folder = tmp_path / "colored" / color
        folder.mkdir(parents=True)
        for i in range(8):
            image = random.integers(0, 120, (14, 16, 3)).astype(np.uint8)
            image[..., 2 - label] += 120
            Image.fromarray(image).save(folder / f"{i}.png")
    return tmp_path / "colored"
