import numpy as np
import pytest
from PIL import Image

from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Convolution, Schedule


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path):
    """A folder of small images in three classes, told apart by colour."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 9)):
        for label, colour in enumerate(("blue", "green", "red")):
            folder = tmp_path / "photos" / split / colour
            folder.mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 120, (22, 24, 3)).astype(np.uint8)
                image[..., 2 - label] += 120
                Image.fromarray(image).save(folder / f"{i:02d}.png")
    return tmp_path / "photos"


@pytest.fixture
def tiny_recipe():
    """The paper's order of things on 16 pixels, in milliseconds."""
    recipe = get_recipe("paper")
    network = recipe.network.replace(
        convolutions=(
            Convolution(8, 5, strides=2, padding="ceil", then=("activation", "norm", "pool")),
            Convolution(8, 3, groups=2),
        ),
        hidden_units=(16,),
        input_size=16,
    )
    return recipe.replace(
        name="tiny",
        network=network,
        epochs=3,
        batch_size=16,
        init="stable",
        resize_pixels=20,
        schedule=Schedule(patience_epochs=1),
    )
