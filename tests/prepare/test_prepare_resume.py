"""`prepare` interrupted by a kill, Ctrl-C or a full disk, and resumed."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf
from photos import ROOT, content, make_photos

from alexnet_tf.errors import InputError, TrainingStopped
from alexnet_tf.prepare.prepare import prepare


class StopError(Exception):
    """Raised in the middle of a preparation."""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Photos, a folder with a preparation of them that was stopped, and its options."""
    root = tmp_path_factory.mktemp("stopped")
    make_photos(root / "photos", 40, 0)
    options = {"size": 8, "processes": 1}

    def stop(done, total):
        if done >= 36:
            raise StopError

    with pytest.raises(StopError):
        prepare(str(root / "photos"), root / "out", on_progress=stop, **options)
    return root / "photos", root / "out", options


def test_resume_after_any_interruption_gives_identical_bytes(tmp_path):
    make_photos(tmp_path / "photos", 70, 40)
    options = {"size": 8, "processes": 2}
    whole = content(prepare(str(tmp_path / "photos"), tmp_path / "whole", **options).folder)
    out = tmp_path / "stopped"
    begun = []
    for stop_at in (20, 50, 90):

        def stop(done, total, stop_at=stop_at):
            begun.append(done)
            if done >= stop_at:
                raise StopError

        begun.clear()
        with pytest.raises(StopError):
            prepare(str(tmp_path / "photos"), out, on_progress=stop, **options)
        with pytest.raises(InputError, match="unfinished preparation of another source"):
            prepare(str(tmp_path / "photos"), out, size=9)
    assert begun[0] >= 32  # finished shards are kept
    assert content(prepare(str(tmp_path / "photos"), out, **options).folder) == whole


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"PK\x03\x04 and no more"])
@pytest.mark.parametrize("file", ["plan.json", "state.npz", "train-00000.npz"])
def test_resume_with_a_damaged_work_file_is_rejected(file, content, stopped, tmp_path):
    photos, begun, options = stopped
    out = tmp_path / "out"
    subprocess.run(["cp", "-r", begun, out], check=True)
    (out / ".preparing" / file).write_bytes(content)
    with pytest.raises(InputError, match=rf"{file} is .*damaged: remove .*out and prepare again"):
        prepare(str(photos), out, **options)


def test_ctrl_c_message_tells_how_to_resume(stopped, tmp_path):
    photos, _, options = stopped

    def interrupt(done, total):
        if done >= 36:
            raise KeyboardInterrupt

    with pytest.raises(
        TrainingStopped, match=r"kept in .*out: run the same command again to resume"
    ):
        prepare(str(photos), tmp_path / "out", on_progress=interrupt, **options)
    begun = []
    prepare(str(photos), tmp_path / "out", on_progress=lambda *now: begun.append(now), **options)
    assert begun[0] == (32, 42)


def test_ctrl_c_while_processes_start_prints_one_line(tmp_path):
    make_photos(tmp_path / "photos", 90, 0)
    command = [sys.executable, str(ROOT / "cli.py"), "prepare", str(tmp_path / "photos")]
    command += ["--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    started = []
    while len(started) < 2 and process.poll() is None:  # one of them keeps count of semaphores
        time.sleep(0.01)
        started = children.read_text().split()
    time.sleep(0.1)  # in the middle of its imports
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "Traceback" not in err and "to resume" in err.splitlines()[-1]


def test_kill_leaves_no_process_and_resume_gives_identical_bytes(tmp_path):
    make_photos(tmp_path / "photos", 90, 0)
    options = {"size": 8, "processes": 2}
    whole = content(prepare(str(tmp_path / "photos"), tmp_path / "whole", **options).folder)
    out = tmp_path / "killed"
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys, time\nsys.path.insert(0, {str(ROOT)!r})\n"
        "def slow(done, total):\n"
        "    print(done, flush=True)\n"
        "    if done >= 50: time.sleep(60)\n"
        "if __name__ == '__main__':\n"  # code above it runs in the processes too
        "    from alexnet_tf.prepare.prepare import prepare\n"
        f"    prepare({str(tmp_path / 'photos')!r}, {str(out)!r}, size=8, processes=2,"
        " on_progress=slow)\n"
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    while int(process.stdout.readline()) < 50:
        pass
    family = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    with pytest.raises(InputError, match="another process is preparing"):
        prepare(str(tmp_path / "photos"), out, **options)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "prepared.json").exists()
    assert content(prepare(str(tmp_path / "photos"), out, **options).folder) == whole
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in family):
        assert time.monotonic() < deadline, "the workers of a killed process live on"
        time.sleep(0.1)


def test_full_disk_is_reported_and_resume_gives_identical_bytes(tmp_path):
    make_photos(tmp_path / "photos", 60, 40)
    options = {"size": 64, "kind": "raw", "processes": 1}
    whole = content(prepare(str(tmp_path / "photos"), tmp_path / "whole", **options).folder)
    command = [sys.executable, str(ROOT / "cli.py"), "prepare", str(tmp_path / "photos")]
    command += ["--out", str(tmp_path / "full"), "--size", "64", "--format", "raw"]
    limited = ["sh", "-c", 'ulimit -f 100 && exec "$@"', "sh", *command]  # 50 or 100 KiB a file
    ended = subprocess.run(limited, capture_output=True, text=True)
    assert ended.returncode == 2
    line = ended.stderr.strip().splitlines()[-1]
    assert "full/photos-train.tfrecord-00000-of-00002: File too large" in line
    assert "then run the same command again to resume" in line
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / "full").glob("*tfrecord*"))
    assert content(prepare(str(tmp_path / "photos"), tmp_path / "full", **options).folder) == whole


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (tf.errors.ResourceExhaustedError, errno.ENOSPC),
        (tf.errors.OutOfRangeError, errno.EFBIG),
    ],
)
@pytest.mark.parametrize("method", ["write", "close"])
def test_tensorflow_error_of_a_full_disk_is_an_oserror(
    method, error, number, tmp_path, monkeypatch
):
    class Full(tf.io.TFRecordWriter):
        pass

    def fail(*arguments):
        raise error(None, None, "full")

    setattr(Full, method, fail)
    make_photos(tmp_path / "photos", 6, 0)
    monkeypatch.setattr("tensorflow.io.TFRecordWriter", Full)
    with pytest.raises(OSError, match="then run the same command again to resume") as raised:
        prepare(str(tmp_path / "photos"), tmp_path / "out", size=8, processes=1)
    assert raised.value.errno == number
    assert raised.value.filename.endswith("photos-train.tfrecord-00000-of-00001")
