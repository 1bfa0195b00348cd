"""Processes that prepare images: crashes, and scripts without a `__main__` guard."""

import importlib
import subprocess
import sys

from photos import ROOT
from PIL import Image

from alexnet_tf.prepare import workers
from alexnet_tf.prepare.source import Item
from alexnet_tf.prepare.workers import Task, do_tasks


def test_only_the_image_that_crashes_the_decoder_is_skipped(tmp_path, monkeypatch):
    items = []
    for i in range(12):
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
        items.append(Item(f"{i}.png", 0, 0, 0))
    tasks = [Task(str(tmp_path), tuple(items[at : at + 4]), 4, "raw") for at in (0, 4, 8)]
    (tmp_path / "crashing.py").write_text(
        "import os, signal\n"
        "from alexnet_tf.prepare import workers\n"
        "def do_task(task):\n"
        "    if any(item.name == '2.png' for item in task.items):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return workers.do_task(task)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    crashing = importlib.import_module("crashing")
    monkeypatch.setattr(workers, "do_task", crashing.do_task)
    outcomes = [outcome for chunk in do_tasks(tasks, 2) for outcome in chunk.outcomes]
    assert [outcome.item for outcome in outcomes] == items
    bad = [outcome for outcome in outcomes if outcome.encoded is None]
    assert [outcome.item.name for outcome in bad] == ["2.png"]
    assert bad[0].problems == (("the decoder crashed on it", "skipped"),)


def test_script_without_main_guard_is_reported(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from alexnet_tf.prepare.source import Item\n"
        "from alexnet_tf.prepare.workers import Task, do_tasks\n"
        f"task = Task({str(tmp_path)!r}, (Item('a.png', 0, 0, 0),), 4, 'raw')\n"
        "print(list(do_tasks([task], 1)))\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert "InputError: the processes that prepare images end as they start" in last
    assert "__main__" in last
    assert not ended.stdout
