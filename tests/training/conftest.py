import numpy as np
import pytest
from PIL import Image

import alexnet_tf as an
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Convolution, Schedule
from alexnet_tf.training.saver import Saver


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Draws no curves, which takes longer than these runs; those of `whole` are drawn."""
    monkeypatch.setattr(Saver, "_draw", lambda self, folder, history: None)


def write_photos(root):
    """Writes a folder of small images in three classes, told apart by color, and returns it."""
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
    """A folder of images of one's own."""
    return write_photos(tmp_path / "photos")


@pytest.fixture(scope="session")
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


def train_in(folder, recipe, **options):
    """Trains on a folder's own photos, in float32, and returns the result."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        photos = str(write_photos(folder / "photos"))
        given = {"run_dir": folder / "run", "precision": "float32", "quiet": True}
        return an.train(photos, recipe=recipe, **given, **options)


@pytest.fixture(scope="session")
def whole(tiny_recipe, tmp_path_factory):
    """The result of the tiny recipe's run, which was never stopped. To be read only."""
    return train_in(tmp_path_factory.mktemp("whole"), tiny_recipe)


@pytest.fixture(scope="session")
def one_epoch(tiny_recipe, tmp_path_factory):
    """The folder of such a run of one epoch. To be read or copied only."""
    return train_in(tmp_path_factory.mktemp("short"), tiny_recipe, epochs=1).run_dir
