import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.cli import main
from alexnet_tf.network_settings import Convolution
from alexnet_tf.recipes import get_recipe
from alexnet_tf.training.train import train

CLASSES = ("<b>bold & $5", "dark", "猫")  # special in HTML and matplotlib


def command(*words):
    """Runs a command and returns its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as left,
    ):
        main([str(word) for word in words])
    return left.value.code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder with images in three classes, and a run whose weights are the initial ones.

    Its learning rate is too small to change the weights.
    """
    home = tmp_path_factory.mktemp("home")
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 9)):
        for number, name in enumerate(CLASSES):
            folder = home / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = random.integers(0, 150, (22, 24, 3))
                image[..., number] += 100
                Image.fromarray(image.astype(np.uint8)).save(folder / f"{i:02}.png")
    recipe = get_recipe("paper")
    network = recipe.network.replace(
        convolutions=(
            Convolution(8, 5, strides=2, padding="ceil", then=("activation", "norm", "pool")),
            Convolution(8, 3, groups=2),
        ),
        hidden_units=(16,),
        input_size=16,
    )
    recipe = recipe.replace(
        network=network,
        epochs=1,
        batch_size=9,
        init="stable",
        resize_pixels=20,
        learning_rate=1e-30,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        train(
            str(home / "photos"),
            recipe=recipe,
            precision="float32",
            run_dir=home / "run",
            quiet=True,
        )
    return home


@pytest.fixture(autouse=True)
def _own_cache(home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))


@pytest.fixture(scope="session")
def made(home):
    """What `report --json` printed, after writing its files into the run's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        code, out, err = command("report", "--run", home / "run", "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    return json.loads(out)
