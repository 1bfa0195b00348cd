"""Comparisons: the turns that contenders take, and the ratios of their speeds."""

import importlib
import sys

import pytest
from benchmark_scripts import BENCHMARKS

SCRIPT = """
import sys, time
from contenders import serve

def build():
    name = sys.argv[2]
    if name == "absent":
        import a_package_that_is_not_there
    return lambda: (print("noise"), time.sleep(0.02 if name == "slow" else 0.001))

serve(build)
"""


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))
    yield importlib.import_module
    for name in ("contenders", "train_step", "inference"):
        sys.modules.pop(name, None)


def test_contenders_take_turns_and_missing_ones_are_skipped(load, tmp_path, capfd):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    names = ["slow", "absent", "fast"]
    runs = load("contenders").run_rounds(str(script), names, [], rounds=3, steps=2)
    assert list(runs) == ["slow", "fast"]
    assert runs["slow"].median_seconds >= 0.02 > runs["fast"].median_seconds >= 0.001
    assert len(runs["slow"].seconds_per_step) == 3
    assert runs["fast"].memory > 2**20
    error = capfd.readouterr().err
    assert "absent: skipped, a_package_that_is_not_there is not installed" in error


def test_ratios_compare_with_the_best_peer(load):
    speeds = {"ours bfloat16": 60.0, "ours float32": 30.0, "Keras groups=2 float32": 10.0}
    speeds |= {"PyTorch eager float32": 15.0, "PyTorch compiled bfloat16": 20.0}
    memory = dict.fromkeys(speeds, 100) | {"PyTorch eager float32": 50}
    ratios = load("train_step").ratios(speeds, memory)
    assert ratios == {"keras_groups": 6.0, "best_pytorch": 3.0, "memory_against_pytorch": 2.0}
    assert load("train_step").ratios({"PyTorch eager float32": 1.0}, memory) == {}
    speeds = {"our TFLite float32": 4.0, "OpenVINO float32": 1.0, "ONNX Runtime float32": 2.0}
    assert load("inference").ratios(speeds, 1) == {
        "batch_1_best_openvino": 4.0,
        "batch_1_best_onnx_runtime": 2.0,
        "batch_1_best_of_all": 2.0,
    }
