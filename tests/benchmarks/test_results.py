"""What stores an experiment's results, and what it refuses."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("results", ROOT / "benchmarks" / "results.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


@pytest.fixture
def docs(tmp_path, monkeypatch):
    """A copy of the page with one experiment stored."""
    docs = tmp_path / "docs"
    (docs / "results").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "results.md", docs)
    shutil.copy(ROOT / "docs" / "results" / "lrn.json", docs / "results")
    monkeypatch.setattr(script, "DOCS", docs)
    monkeypatch.setattr(script, "STORED", docs / "results")
    monkeypatch.setattr(script, "draw_figure", lambda results, path: path.write_bytes(b"picture"))
    return docs


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "again").mkdir()
    return tmp_path / "again"


def results_of(name):
    return json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())


def run(*arguments):
    return CliRunner().invoke(script.main, [str(a) for a in arguments])


def test_results_are_stored_and_shown(docs, folder):
    (folder / "results.json").write_text(json.dumps(results_of("dropout")))
    done = run("--add", folder)
    assert done.exit_code == 0, done.output
    assert json.loads((docs / "results" / "dropout.json").read_text()) == results_of("dropout")
    page = (docs / "results.md").read_text()
    assert "### lrn" in page
    assert "### dropout" in page
    assert "### towers" not in page
    assert (docs / "pictures" / "dropout.png").exists()


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("data", "name", "photos", "has data photos, the stored results cifar10"),
        ("data", "train_examples", 500, "has training images 500, the stored results 10000"),
        ("plan", "seeds", 2, "has seeds 2, the stored results 3"),
        ("plan", "epochs", 1, "has epochs 1, the stored results 16"),
    ],
)
def test_less_does_not_take_the_place_of_more_unasked(docs, folder, part, key, value, message):
    less = results_of("lrn")
    less[part][key] = value
    (folder / "results.json").write_text(json.dumps(less))
    done = run("--add", folder)
    assert done.exit_code == 2
    assert message in done.output
    assert json.loads((docs / "results" / "lrn.json").read_text()) == results_of("lrn")
    assert run("--add", folder, "--replace").exit_code == 0
    assert json.loads((docs / "results" / "lrn.json").read_text()) == less


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not there: let the experiment finish"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ("{}", "is damaged"),
        ('{"experiment": "lnr"}', "lnr"),
    ],
)
def test_what_is_no_result_is_named_and_nothing_is_stored(docs, folder, content, message):
    if content is not None:
        (folder / "results.json").write_text(content)
    done = run("--add", folder)
    assert done.exit_code == 2
    assert message in done.output
    assert "results.json" in done.output
    assert [path.name for path in (docs / "results").iterdir()] == ["lrn.json"]
