"""The estimates of scaling, and the tables of docs/scaling.md."""

import dataclasses
from pathlib import Path

import pytest
from benchmark_scripts import load_script

ROOT = Path(__file__).parents[2]
scaling = load_script("scaling")


def test_document_has_the_computed_tables():
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    shown = text.split("<!-- benchmarks/scaling.py -->")[1].split("<!-- end -->")[0]
    assert shown.strip() == scaling.tables(scaling.Cluster())


def test_estimate_matches_a_step_computed_by_hand():
    cluster = scaling.Cluster(
        images_per_second=1000,
        update_seconds=0.01,
        gpus_per_machine=2,
        inside_gigabytes=1,
        efficiency=1.0,
    )
    size = 4 * 60_965_224
    assert size == pytest.approx(244e6, rel=1e-3)
    # 4 GPUs in 2 machines at 8 Gbit/s = 1 GB/s: each of the two rings carries the gradients once.
    found = scaling.estimate(cluster, 4, 8, images=100)
    assert found.compute_seconds == pytest.approx(0.11)
    assert found.reduce_seconds == pytest.approx(2 * size / 1e9)
    assert found.speedup == pytest.approx(4 * 0.11 / (0.11 + 2 * size / 1e9))
    # At most two thirds of the 0.1 s of forward and backward can hide the sum.
    assert found.overlapped == pytest.approx(4 * 0.11 / (0.11 + 2 * size / 1e9 - 0.2 / 3))
    half = scaling.estimate(cluster, 4, 8, images=100, shrink=2)
    assert half.reduce_seconds == pytest.approx(found.reduce_seconds / 2)


def test_one_gpu_needs_no_sum_and_input_scales_with_cores():
    assert scaling.estimate(scaling.Cluster(), 1, 10).efficiency == 1
    eight_cores = dataclasses.replace(scaling.Cluster(), cores_per_gpu=8)
    assert scaling.input_limit(eight_cores, 2.0) == 4000
    assert scaling.two_processes_seconds(1.0, 0.25, 0.05) == pytest.approx(1.3)
