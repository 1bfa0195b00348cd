"""Tools of the benchmark of faults: interrupted writes, intact checkpoints, equal runs."""

import hashlib
import os
import time

import pytest
from benchmark_scripts import load_script
from run_records import epoch_record, run_record

from alexnet_tf import runs
from alexnet_tf.run_record import history_text

tools = load_script("fault_tools")


@pytest.fixture
def run(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    runs.write_run(tmp_path, run_record(id="a"))
    return tmp_path


@pytest.mark.parametrize(
    ("left", "what"),
    [
        ("checkpoints/.epoch-0001.7.writing.safetensors", "in a checkpoint write"),
        ("checkpoints/epoch-0001-step-00000003.safetensors", "in a checkpoint write"),
        (".last.7.writing.keras", "writing last"),
        (".history.7.writing.jsonl", "writing history"),
        ("curves.png", "in a step, or between steps"),
    ],
)
def test_interrupted_operation_is_recognized_by_temporary_files(run, left, what):
    (run / left).write_text("")
    assert tools.interrupted_operation(run) == what


def test_checkpoint_is_intact_if_it_matches_its_checksum(run):
    path = run / "checkpoints" / "epoch-0001-step-00000003.safetensors"
    path.write_bytes(b"weights")
    checksum = path.with_name(path.name + ".sha256")
    checksum.write_text(f"{hashlib.sha256(b'weights').hexdigest()}  {path.name}\n")
    assert tools.interrupted_operation(run) == "in a step, or between steps"
    assert tools.is_intact(checksum)
    path.write_bytes(b"weighty")
    assert not tools.is_intact(checksum)


def test_curves_have_no_times(run):
    record = epoch_record(1, training_loss=0.5, seconds=3.0)
    (run / runs.HISTORY).write_text(history_text([record]))
    (kept,) = tools.curves(run)
    assert (kept["epoch"], kept["training_loss"]) == (1, 0.5)
    assert not {"seconds", "images_per_second", "waiting_fraction"} & kept.keys()


def test_process_is_forked_and_killed_and_has_a_last_line(tmp_path):
    def speak():
        os.write(2, b"first\nlast\n")
        time.sleep(60)

    process = tools.Process(["summary"], tmp_path / "log", speak)
    while "last" not in (tmp_path / "log").read_text() if (tmp_path / "log").exists() else True:
        time.sleep(0.01)
    assert process.poll() is None
    process.kill()
    assert (process.poll(), process.last_line) == (-9, "last")
