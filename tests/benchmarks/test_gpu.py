"""The benchmark of GPUs: which cases run where, its smallest case on a CPU, and its table."""

import argparse
import json
import subprocess

import pytest
from benchmark_scripts import load_script


@pytest.fixture(scope="module")
def gpu():
    return load_script("gpu")


def test_cases_that_the_machine_lacks_have_a_reason(gpu):
    none, one, two = (gpu.case_names(count) for count in (0, 1, 2))
    assert none.keys() == one.keys() == two.keys()
    assert [case for case, reason in none.items() if not reason] == ["smallest"]
    assert none["bfloat16"] == "no GPU found"
    assert {case: reason for case, reason in one.items() if reason} == {
        "two GPUs": "one GPU found",
        "smallest": "GPUs found",
    }
    assert [case for case, reason in two.items() if reason] == ["smallest"]


def test_smallest_case_measures_training_on_the_cpu(gpu, monkeypatch):
    gpu_measure = load_script("gpu_measure")
    monkeypatch.setattr(gpu_measure, "TIMED_SECONDS", 0.01)
    options = argparse.Namespace(recipe="lenet", images=16, prepared="")
    found = gpu_measure.measure("smallest", options)
    (row,) = found["training"]
    assert row["batch_size"] == gpu_measure.CPU_BATCH_SIZE
    assert row["repeated"] > 0 and row["memory"] > 0
    assert row["memory_waiting"] == max(0, 1 - row["memory"] / row["repeated"])
    assert row["peak_memory_bytes"] > 2**20
    assert 0 < len(found["profile"]) <= gpu_measure.PROFILED_OPERATIONS
    lines = list(gpu.rows_of({"smallest": json.loads(json.dumps(found))}))
    assert f"images/s: repeated {row['repeated']:,.0f}, memory" in lines[0]
    assert len(lines) == 1 + len(found["profile"])


def test_failed_late_and_long_cases_are_skipped_with_a_reason(gpu, monkeypatch):
    options = argparse.Namespace(recipe="lenet", images=16)
    ended = subprocess.CompletedProcess([], 1, "", "Traceback\nResourceExhaustedError: OOM\n")
    monkeypatch.setattr(gpu.subprocess, "run", lambda *given, **named: ended)
    assert gpu.run_case("float32", options, "", 9) == {"skipped": "ResourceExhaustedError: OOM"}
    assert "no time left" in gpu.run_case("float32", options, "", -1)["skipped"]

    def never_ends(command, timeout, **named):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(gpu.subprocess, "run", never_ends)
    assert "more than the 9 s left" in gpu.run_case("float32", options, "", 9)["skipped"]


def test_table_has_inference_and_division(gpu):
    inference = {
        "precision": "float16",
        "batch_size": 1,
        "median_ms": 1.234,
        "slowest_ms": 5.0,
        "images_per_second": 810.0,
    }
    division = {
        "losses": [7.0],
        "mirrored": {"images_per_second": 5000.0, "loss_difference": 2e-6},
    }
    lines = list(
        gpu.rows_of({"inference": {"inference": [inference]}, "two GPUs": {"division": division}})
    )
    assert "1.23 ms (slowest 5.00), 810 images/s" in lines[0]
    assert lines[1].endswith("mirrored  5,000 images/s, loss differs by 2.0e-06")
    assert len(lines) == 2
