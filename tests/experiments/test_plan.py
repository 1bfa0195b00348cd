"""Plans of experiments, resuming them, and the provenance of runs."""

import dataclasses
import json
import re
import subprocess

import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.experiments import plan as plan_module
from alexnet_tf.experiments.plan import (
    VERSION,
    Provenance,
    check_resumable,
    current_provenance,
    new_plan,
    read_plan,
)
from alexnet_tf.system import available_cores


def test_plan_is_the_experiments_own_except_for_given_values(tiny):
    plan = new_plan(tiny, seeds=4)
    assert (plan.dataset, plan.seeds, plan.epochs, plan.limit_train) == ("cifar10", 4, 2, None)
    assert plan.shortened == ""


def test_limit_val_is_rejected_where_all_images_are_evaluated(tiny):
    evaluated = dataclasses.replace(tiny, metrics=("test_error", "ten_crop_error"))
    assert new_plan(tiny, limit_val=10).limit_val == 10
    with pytest.raises(InputError, match="--limit-val: tiny evaluates its networks on all images"):
        new_plan(evaluated, limit_val=10)


def test_shortened_plan_says_what_was_reduced(tiny):
    longer = dataclasses.replace(tiny, seeds=3, limit_train=20_000)
    plan = new_plan(longer, seeds=1, epochs=1, limit_train=500, limit_val=100)
    assert plan.shortened == (
        "Shortened: 1 seed instead of 3, 1 epoch instead of 2, 500 training images instead of "
        "20,000, 100 images to evaluate on instead of all."
    )
    assert new_plan(longer, seeds=4, epochs=2).shortened == ""


def test_folder_is_resumed_with_the_same_plan_and_more_seeds(tiny, tmp_path):
    stored = dataclasses.replace(new_plan(tiny, seeds=2), images="a")
    assert check_resumable(stored, new_plan(tiny, seeds=3), tmp_path).seeds == 3
    with pytest.raises(InputError, match="epochs 2, not 3: give the same command"):
        check_resumable(stored, new_plan(tiny, epochs=3), tmp_path)
    other = dataclasses.replace(stored, images="b")
    with pytest.raises(InputError, match="on other images of cifar10"):
        check_resumable(stored, other, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ("[]", "was written by another version"),
        ("[1]", "is damaged"),
        (json.dumps({"version": VERSION, "experiment": "tiny"}), "is damaged"),
        ('{"experiment": "tiny", "seeds": 3}', "was written by another version"),
    ],
)
def test_unreadable_plan_is_rejected_with_its_path(content, message, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(InputError, match=rf"plan\.json {message}.*: give another --out"):
        read_plan(path)


def test_plan_with_text_in_place_of_a_number_is_rejected(tiny, tmp_path):
    path = tmp_path / "plan.json"
    values = dataclasses.asdict(new_plan(tiny)) | {"version": VERSION, "seeds": "3"}
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match="seeds is not a whole number: '3'"):
        read_plan(path)


@pytest.fixture
def real_provenance():
    """`current_provenance` itself, which `provenance` of conftest replaces in its module."""
    current_provenance.cache_clear()
    yield current_provenance
    current_provenance.cache_clear()


def test_provenance_is_computed_once(monkeypatch, real_provenance):
    commits = iter(("abc", "def"))  # committed while the process runs the code of the first
    monkeypatch.setattr(plan_module, "_commit", lambda: next(commits))
    assert real_provenance() == real_provenance() == Provenance("abc", available_cores())


def test_commit_is_known_only_if_the_package_is_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_module, "_SOURCES", tmp_path)
    code = tmp_path / "alexnet_tf" / "__init__.py"
    code.parent.mkdir()
    code.write_text("")

    def git(*words):
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", tmp_path, *name, *words], check=True, capture_output=True)

    git("init")
    (tmp_path / ".gitignore").write_text("alexnet_tf")
    git("add", ".gitignore")
    git("commit", "-m", "someone else's")
    assert plan_module._commit() is None
    git("add", "--force", code)
    git("commit", "-m", "ours")
    name = plan_module._commit()
    assert re.fullmatch("[0-9a-f]{9}", name)
    code.write_text("changed = True")
    assert plan_module._commit() == name + "+"
