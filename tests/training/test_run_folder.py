"""The run folder: damage to any byte of its records is found, and only one process trains in it."""

import json
import signal
import subprocess
import sys

import pytest
from run_records import epoch_record, run_record

from alexnet_tf import runs
from alexnet_tf.errors import FolderTakenError, InputError
from alexnet_tf.files import sha256
from alexnet_tf.run_record import history_text
from alexnet_tf.training.run_folder import RunFolder, create_run_folder, new_run_path

RECORD = run_record()
HISTORY = [epoch_record(epoch) for epoch in (1, 2, 3)]


@pytest.fixture
def folder(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.write_run(RECORD)
    run.write_history(HISTORY)
    yield run
    run.close()


def test_run_record_round_trips(folder):
    assert runs.read_run(folder.path) == RECORD
    assert json.loads((folder.path / runs.RUN).read_text())["recipe"]["name"] == "shapes"


def test_run_record_with_any_changed_byte_is_rejected(folder):
    path = folder.path / runs.RUN
    content = path.read_bytes()
    for place in range(len(content)):
        for change in (0x01, 0x20, 0x80, content[place], content[place] ^ 0x0A):
            if change:
                damaged = bytearray(content)
                damaged[place] ^= change
                path.write_bytes(damaged)
                with pytest.raises(InputError, match=r"run\.json is"):
                    runs.read_run(folder.path)


def test_run_record_truncated_anywhere_is_rejected(folder):
    path = folder.path / runs.RUN
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"run\.json is damaged"):
            runs.read_run(folder.path)
    path.write_bytes(bytes(len(content)))
    with pytest.raises(InputError, match=r"run\.json is damaged"):
        runs.read_run(folder.path)


def test_run_record_of_another_run_is_rejected(folder):
    runs.write_run(folder.path, RECORD.replace(id="b" * 16))
    with pytest.raises(InputError, match=r"belongs to another run: its id is bbb.* is aaa"):
        runs.read_run(folder.path)


def test_history_left_by_a_kill_is_repaired_without_a_warning(folder):
    for history in (HISTORY, HISTORY[:2], [*HISTORY, epoch_record(4)]):
        folder.write_history(history)
        assert folder.repair_history(HISTORY) is None
        assert runs.read_history(folder.path) == HISTORY
    (folder.path / runs.HISTORY).unlink()
    assert folder.repair_history(HISTORY[:1]) is None  # killed before the first was written


def test_damaged_history_is_reported_and_restored(folder):
    path = folder.path / runs.HISTORY
    content = path.read_bytes()
    flipped = [
        content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        for place in range(0, len(content), 5)
    ]
    lines = len(history_text(HISTORY[:2]))
    truncated = [content[:length] for length in range(0, len(content), 5) if length != lines]
    swapped = history_text([epoch_record(1, training_loss=7.0)]).encode()
    for damaged in (*flipped, *truncated, bytes(len(content)), swapped):
        path.write_bytes(damaged)
        assert str(path) in folder.repair_history(HISTORY)
        assert path.read_bytes() == content
    path.unlink()
    assert str(path) in folder.repair_history(HISTORY)


def test_history_of_a_finished_run_is_verified_when_read(folder):
    path = folder.path / runs.HISTORY
    seal = sha256(path.read_bytes())
    folder.write_run(RECORD.replace(history_sha256=seal))
    assert runs.read_history(folder.path) == HISTORY
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6"))
    with pytest.raises(InputError, match=r"history\.jsonl is damaged: checksum"):
        runs.read_history(folder.path)
    path.write_bytes(b"\x00\x00")
    with pytest.raises(InputError, match=r"history\.jsonl is damaged"):
        runs.read_history(folder.path)


def test_run_can_start_where_another_was_killed_at_its_start(tmp_path):
    run = RunFolder(tmp_path / "run")
    (run.path / ".run.123.writing.json").write_text("{")
    run.close()
    assert new_run_path(run.path, "tiny") == run.path
    (run.path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        new_run_path(run.path, "tiny")


def test_new_run_avoids_a_folder_in_which_another_run_started_meanwhile(tmp_path):
    path = new_run_path(tmp_path / "run", "tiny")
    other = RunFolder(path, new=True)
    other.write_run(RECORD)
    with pytest.raises(FolderTakenError, match="another process is training in"):
        create_run_folder(path, named=True)
    other.close()
    with pytest.raises(FolderTakenError, match="another run has started in"):
        create_run_folder(path, named=True)
    for name in ("run-2", "run-3"):
        following = create_run_folder(path, named=False)
        assert following.path == tmp_path / name
        following.write_run(RECORD)
        following.close()
    assert runs.read_run(path) == RECORD


def test_lock_ends_with_its_process(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from alexnet_tf.training.run_folder import RunFolder\n"
        "folder = RunFolder(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process is training in"):
            RunFolder(tmp_path / "run")
        process.send_signal(signal.SIGKILL)
        process.wait()
    RunFolder(tmp_path / "run").close()
