import numpy as np
import pytest
from PIL import Image

import alexnet_tf as an
from alexnet_tf.network_settings import Convolution
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Schedule
from alexnet_tf.training.run_folder import Saver


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    """Skips drawing curves, which takes longer than these runs; those of `whole` are drawn."""
    monkeypatch.setattr(Saver, "_draw", lambda self, folder, history: None)


def write_photos(root):
    """Writes a folder of small images in three classes, one color per class, and returns it."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 9)):
        for label, color in enumerate(("blue", "green", "red")):
            folder = root / split / color
            folder.mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 120, (22, 24, 3)).astype(np.uint8)
                image[..., 2 - label] += 120
                Image.fromarray(image).save(folder / f"{i:02d}.png")
    return root


@pytest.fixture
def photos(tmp_path):
    """A folder of the user's own images."""
    return write_photos(tmp_path / "photos")


@pytest.fixture(scope="session")
def tiny_recipe():
    """A network like the paper's for 16 pixels, which trains in milliseconds."""
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


def train_in(folder, recipe, **options):
    """Trains on photos written into a folder, in float32, and returns the result."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        photos = str(write_photos(folder / "photos"))
        given = {"run_dir": folder / "run", "precision": "float32", "quiet": True}
        return an.train(photos, recipe=recipe, **given, **options)


@pytest.fixture(scope="session")
def whole(tiny_recipe, tmp_path_factory):
    """The result of an uninterrupted run of the tiny recipe. Read only."""
    return train_in(tmp_path_factory.mktemp("whole"), tiny_recipe)


@pytest.fixture(scope="session")
def one_epoch(tiny_recipe, tmp_path_factory):
    """The folder of such a run of one epoch. Read or copy only."""
    return train_in(tmp_path_factory.mktemp("short"), tiny_recipe, epochs=1).run_dir
