"""The notebooks run from the first cell to the last, and are stored without outputs."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# The Chinese notebook has the code of the English one, which a test below compares.
WITH_CODE_OF_THEIR_OWN = [path for path in NOTEBOOKS if "zh-CN" not in path.name]
TRAINING = 'an.train("shapes", quiet=True)'
SHORT_TRAINING = 'an.train("shapes", quiet=True, epochs=2, limit_train=640, limit_val=200)'


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_CODE_OF_THEIR_OWN, ids=lambda path: path.stem)
def test_notebook_runs_without_an_error(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(TRAINING, SHORT_TRAINING)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert pictures


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert not cell.metadata


def test_training_of_the_quick_start_is_the_one_that_the_test_shortens():
    text = (ROOT / "notebooks/quickstart.ipynb").read_text(encoding="utf-8")
    assert json.dumps(TRAINING)[1:-1] in text


def test_the_chinese_notebook_has_the_code_of_the_english_one():
    english, chinese = (
        [
            cell.source
            for cell in nbformat.read(path, as_version=4).cells
            if cell.cell_type == "code"
        ]
        for path in (ROOT / "notebooks/paper.ipynb", ROOT / "notebooks/paper.zh-CN.ipynb")
    )
    assert english == chinese
