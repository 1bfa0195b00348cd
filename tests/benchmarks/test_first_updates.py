"""The first updates: plateaus at chance level, the table, and resuming."""

import math

import numpy as np
import pytest
from benchmark_scripts import load_script
from click.testing import CliRunner
from PIL import Image

first_updates = load_script("first_updates")


def run(losses, seed=0, init="stable"):
    return first_updates.Run("photos", "toys", init, seed, 32, 40, "float32", 1.0, losses)


def test_plateau_and_learning_are_relative_to_the_chance_level_loss():
    learns = run([1.0] * 15 + [0.8] * 25)
    assert not learns.plateaued
    # The mean of ten losses is below 0.95 once three of them are 0.8: 0.94.
    assert learns.learning_after == 18
    flat = run([1.0] * 40)
    assert flat.plateaued
    assert flat.learning_after == math.inf
    assert run([1.0, 3.0, math.nan]).plateaued
    assert run([0.5] * 30 + [0.99] * 10).plateaued  # the loss rose again


def test_table_has_a_row_per_initialization():
    lines = first_updates.table(
        [run([1.0] * 40, init="paper"), run([0.9] * 40), run([2.0] * 20 + [0.7] * 20, seed=1)]
    ).splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert "| paper | float32 | 32 | 40 | 1 |" in lines[2]
    assert lines[2].endswith("| never | 1 of 1 |")
    assert "| 1.450 | 2.00 | 0.800 (chance 1.000) |" in lines[3]
    assert lines[3].endswith("| 20 (at most 29) | 0 of 2 |")


@pytest.fixture
def toys(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("dark", "light"):
        (tmp_path / "toys" / label).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 100, (28, 28)) + (100 if label == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"toys/{label}/{i}.png")
    return tmp_path / "toys"


def test_measured_runs_are_not_repeated(toys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    results = tmp_path / "first_updates.jsonl"
    words = ["--case", f"lenet:{toys}", "--init", "stable", "--batch-size", "8", "--steps", "10"]
    words += ["--results", str(results), "--precision", "float32"]
    first = CliRunner().invoke(first_updates.main, [*words, "--seeds", "1"])
    assert first.exit_code == 0, first.output
    (kept,) = first_updates.read(results)
    assert (kept.dataset, kept.seed, len(kept.losses)) == ("toys", 0, 10)
    assert kept.chance_level_loss == pytest.approx(math.log(2), abs=1e-5)
    monkeypatch.setattr(first_updates.Case, "losses", lambda *_: [0.5] * 10)
    second = CliRunner().invoke(first_updates.main, [*words, "--seeds", "2"])
    assert second.exit_code == 0, second.output
    again, new = first_updates.read(results)
    assert again == kept
    assert (new.seed, new.losses) == (1, [0.5] * 10)
    assert "| lenet | toys | stable | float32 | 8 | 10 | 2 |" in second.output


def test_unknown_recipe_is_rejected(tmp_path):
    words = ["--case", "alexnet:shapes", "--results", str(tmp_path / "r.jsonl")]
    done = CliRunner().invoke(first_updates.main, words)
    assert done.exit_code == 2
    assert "unknown recipe 'alexnet'" in done.output
