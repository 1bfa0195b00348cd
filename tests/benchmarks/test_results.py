"""Storing an experiment's results, and the page that is written from them."""

import json
import shutil
from pathlib import Path

import click
import pytest
from benchmark_scripts import load_script
from click.testing import CliRunner

from alexnet_tf.experiments.claims import get_experiment
from alexnet_tf.experiments.results import STORED, read_stored
from alexnet_tf.recipes import get_recipe

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
RESULTS = read_stored()
script = load_script("results")


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A folder with one stored experiment, and a copy of the page beside it in `docs`."""
    stored, docs = tmp_path / "stored", tmp_path / "docs"
    stored.mkdir()
    (docs / "pictures").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "results.md", docs)
    shutil.copy(STORED / "lrn.json", stored)
    monkeypatch.setattr(script, "DOCS", docs)
    monkeypatch.setattr(script, "STORED", stored)
    monkeypatch.setattr(script, "draw_figure", lambda results, path: path.write_bytes(b"figure"))
    return stored


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "again").mkdir()
    return tmp_path / "again"


def results_of(name):
    return json.loads((STORED / f"{name}.json").read_text())


def run(*arguments):
    return CliRunner().invoke(script.main, [str(a) for a in arguments])


def test_page_is_what_the_script_writes_from_the_stored_results():
    assert script.replace_block(PAGE, script.markdown_block(RESULTS)) == PAGE


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_stored_file_is_what_the_script_writes_and_its_figure_is_small(name):
    assert (STORED / f"{name}.json").read_text() == script.to_text(RESULTS[name])
    assert 0 < (ROOT / "docs" / "pictures" / f"{name}.png").stat().st_size < 150_000


def test_results_are_stored_and_shown_on_the_page(stored, folder):
    (folder / "results.json").write_text(json.dumps(results_of("dropout")))
    done = run("--add", folder)
    assert done.exit_code == 0, done.output
    assert json.loads((stored / "dropout.json").read_text()) == results_of("dropout")
    page = (script.DOCS / "results.md").read_text()
    assert "### lrn" in page
    assert "### dropout" in page
    assert "### towers" not in page
    assert (script.DOCS / "pictures" / "dropout.png").exists()


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("data", "name", "photos", "has data photos, the stored results cifar10"),
        ("data", "train_examples", 500, "has training images 500, the stored results 10000"),
        ("plan", "seeds", 2, "has seeds 2, the stored results 3"),
        ("plan", "epochs", 1, "has epochs 1, the stored results 16"),
        ("plan", "epochs", None, "has epochs None, the stored results 16"),
    ],
)
def test_fewer_results_replace_more_only_with_replace(stored, folder, part, key, value, message):
    fewer = results_of("lrn")
    fewer[part][key] = value
    (folder / "results.json").write_text(json.dumps(fewer))
    done = run("--add", folder)
    assert done.exit_code == 2
    assert message in done.output
    assert json.loads((stored / "lrn.json").read_text()) == results_of("lrn")
    assert run("--add", folder, "--replace").exit_code == 0
    assert json.loads((stored / "lrn.json").read_text()) == fewer


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not found: let the experiment finish"),
        ("{", "is damaged"),
        ("{}", "was written by another version"),
        ('{"version": 2, "experiment": "lnr"}', "lnr"),
    ],
)
def test_unreadable_results_are_rejected_and_nothing_is_stored(stored, folder, content, message):
    if content is not None:
        (folder / "results.json").write_text(content)
    done = run("--add", folder)
    assert done.exit_code == 2
    assert message in done.output
    assert "results.json" in done.output
    assert [path.name for path in stored.iterdir()] == ["lrn.json"]


def test_page_keeps_what_is_outside_the_marks():
    begin, end = script.BEGIN, script.END
    page = f"above\n{begin}\nold\n{end}\nbelow\n"
    block = f"{begin}\nnew \\1\n{end}"
    assert script.replace_block(page, block) == f"above\n{block}\nbelow\n"
    with pytest.raises(click.UsageError, match="no lines"):
        script.replace_block("above", "new")


def baseline(name, variant):
    """The test errors of a variant's runs, after checking that the variant changes nothing."""
    experiment = get_experiment(name)
    (unchanged,) = (each for each in experiment.variants if each.name == variant)
    assert experiment.recipe_for(unchanged) == get_recipe("cifar10-small")
    return [run.values["test_error"] for run in RESULTS[name].runs if run.variant == variant]


def test_page_is_right_about_the_runs_that_experiments_share():
    shared = {
        "weight-decay": "0.0005",
        "depth": "five convolutions",
        "towers": "two towers",
        "overlapping-pooling": "overlapping",
        "paper-vs-2012": "paper",
        "batch-norm": "lrn",
        "pooling": "overlapping",
    }
    for name, variant in shared.items():
        assert baseline(name, variant) == baseline("towers", "two towers")
    again = zip(baseline("towers", "two towers"), baseline("dropout", "dropout"), strict=True)
    worse = [f"{100 * (one - two):.2f}" for one, two in again]
    text = PAGE.replace("\n", " ")
    assert f"came out {worse[0]}, {worse[1]} and {worse[2]} points worse" in text
