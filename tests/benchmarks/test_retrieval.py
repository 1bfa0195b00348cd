"""Precision of retrieval: arithmetic, and a run on its own data set."""

import json

import numpy as np
import pytest
from benchmark_scripts import load_script
from click.testing import CliRunner
from photos import make_photos
from run_records import record_on

from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import save_model
from alexnet_tf.network_settings import Convolution, Network
from alexnet_tf.runs import write_run

retrieval = load_script("retrieval")


def test_precision_is_the_fraction_of_the_nearest_of_the_same_class():
    labels = np.array([0, 0, 1, 1, 2])
    nearest = np.array([[0, 1], [0, 2], [2, 4]])
    assert retrieval.precision(labels, nearest, np.array([0, 1, 0])) == pytest.approx(
        (2 + 1 + 0) / 6
    )


def test_chance_is_the_fraction_of_pairs_of_one_class():
    assert retrieval.chance(np.array([0, 0, 0, 1]), np.array([0, 1])) == pytest.approx(
        (3 / 4 + 1 / 4) / 2
    )
    assert retrieval.chance(np.array([0, 1]), np.array([2])) == 0


def test_image_is_not_its_own_neighbor():
    rows = np.arange(11)[None].repeat(2, axis=0)
    kept = retrieval._without(rows, np.array([3, 20]))
    assert kept.tolist() == [[0, 1, 2, 4, 5, 6, 7, 8, 9, 10], [*range(10)]]


def test_run_is_measured_on_its_own_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_photos(tmp_path / "photos")
    (tmp_path / "photos" / "train" / "dog" / "bad.jpg").unlink()
    network = Network(
        convolutions=(Convolution(8, 3, strides=2),), hidden_units=(16,), input_size=16
    )
    names = ("cat", "dog", "wild boar")
    model = build_model(network, class_names=names, resize_pixels=16, init="he", seed=1)
    (tmp_path / "run").mkdir()
    save_model(model, tmp_path / "run" / "best.keras")
    write_run(tmp_path / "run", record_on(tmp_path / "photos"))
    words = ["--run", str(tmp_path / "run"), "--in", "train", "--queries", "validation", "--json"]
    done = CliRunner().invoke(retrieval.main, words)
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)
    assert (values["indexed_images"], values["queries"]) == (41, 9)
    assert set(values["precision"]) == {"euclidean", "cosine", "pixels"}
    assert all(0 <= value <= 1 for value in values["precision"].values())
