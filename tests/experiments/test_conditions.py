import platform
import re
import subprocess

from alexnet_tf.experiments.conditions import Conditions, _commit, conditions
from alexnet_tf.system import available_cores


def test_conditions_are_looked_at_once(monkeypatch):
    conditions.cache_clear()
    commits = iter(("abc", "def"))  # committed while the process runs the code of the first
    monkeypatch.setattr("alexnet_tf.experiments.conditions._commit", lambda: next(commits))
    assert conditions() == conditions() == Conditions("abc", platform.node(), available_cores())
    conditions.cache_clear()


def test_only_a_package_that_is_in_the_repository_has_its_commit(tmp_path, monkeypatch):
    monkeypatch.setattr("alexnet_tf.experiments.conditions._CODE", tmp_path)
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
    assert _commit() is None
    git("add", "--force", code)
    git("commit", "-m", "ours")
    name = _commit()
    assert re.fullmatch("[0-9a-f]{9}", name)
    code.write_text("changed = True")
    assert _commit() == name + "+"
