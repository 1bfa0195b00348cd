"""The benchmark: its arithmetic, a small complete run, and the command."""

import json

import pytest

from alexnet_tf.bench.benchmark import draw_layers, run_benchmark
from alexnet_tf.bench.measure import (
    Ceiling,
    flops_per_image,
    measure_ceiling,
    measure_layers,
    shortest,
)
from alexnet_tf.cli import main
from alexnet_tf.model.networks import build_model
from alexnet_tf.recipes import get_recipe


def test_flops_per_image_are_the_papers():
    model = build_model("paper")
    assert flops_per_image(model, training=False) == 2 * 724_406_816
    # Forward, gradient of the weights and of the inputs, except that of the image.
    assert flops_per_image(model, training=True) == 2 * (3 * 724_406_816 - 105_415_200)


def test_shortest_returns_the_time_of_one_call():
    calls = []
    assert 0 <= shortest(lambda: calls.append(1), 2) < 1
    assert len(calls) > 2


def test_ceiling_is_the_higher_of_both_rates():
    assert Ceiling("float32", 1.0, 2.0).rate == 2.0
    assert Ceiling("float32", 3.0, 2.0).rate == 3.0
    ceiling = measure_ceiling("float32", rounds=1)
    assert min(ceiling.matrix_product, ceiling.convolution) > 1e8


def test_layers_of_lenet_are_all_timed():
    names = [layer.name for layer in measure_layers(get_recipe("lenet"), "float32", 2, 1)]
    assert names[:3] == ["mean", "conv1", "sigmoid1"]
    assert names[-1] == "prob"


@pytest.fixture(scope="module")
def benchmark():
    return run_benchmark(get_recipe("lenet"), (1, 4), "bfloat16", 1)


def test_benchmark_has_all_cases_and_its_figure_is_written(benchmark, tmp_path):
    values = json.loads(json.dumps(benchmark.to_json()))
    sizes = [(row["precision"], row["batch_size"]) for row in values["training"]]
    assert sizes == [("bfloat16", 1), ("bfloat16", 4), ("float32", 4)]
    assert [r["precision"] for r in values["ceilings"]] == ["bfloat16", "float32"]
    for row in values["training"] + values["inference"]:
        assert row["images_per_second"] > 0
        assert 0 < row["fraction_of_ceiling"] < 1.5
    assert values["peak_memory_bytes"] > 2**20
    draw_layers(benchmark, tmp_path / "layers.png")
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")
    draw_layers(benchmark, tmp_path / "layers.pdf")
    assert (tmp_path / "layers.pdf").read_bytes().startswith(b"%PDF")


def test_native_kernels_are_compared_with_xla_at_the_largest_batch():
    found = run_benchmark(get_recipe("lenet"), (1, 4), "float32", 1, "native")
    cases = [(row.batch_size, row.kernels) for row in found.training]
    assert cases == [(1, "native"), (4, "native"), (4, "xla")]
    assert [row.batch_size for row in found.inference] == [1, 4]


def test_command_prints_tables_or_one_json_object(benchmark, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(
        "alexnet_tf.bench.benchmark.run_benchmark", lambda *given: calls.append(given) or benchmark
    )
    words = ["bench", "--recipe", "lenet", "--batch-sizes", "1,4", "--precision", "bfloat16"]
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as ended:
            main([*words, *more])
        assert ended.value.code == 0
    out = capsys.readouterr().out
    assert calls == [(get_recipe("lenet"), (1, 4), "bfloat16", 5, "xla")] * 2
    tables, values = out[: out.rindex("\n{") + 1], json.loads(out[out.rindex("\n{") :])
    assert values["recipe"] == "lenet" and len(values["training"]) == 3
    for part in ("ceiling, GFLOP/s", "images/s", "inference", "conv1"):
        assert part in tables


def test_picture_of_another_format_is_rejected(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--picture", "layers.txt"])
    assert ended.value.code == 2
    assert "layers.txt: the name must end in .png" in capsys.readouterr().err


@pytest.mark.parametrize("sizes", ["0", "a", "1,,2", "1,-3"])
def test_invalid_batch_sizes_are_rejected(sizes, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--batch-sizes", sizes])
    assert ended.value.code == 2
    assert "must be numbers such as 1,32,128" in capsys.readouterr().err
