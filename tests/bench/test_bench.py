import json

import pytest

from alexnet_tf.bench.ceiling import Ceiling, measure_ceiling, shortest
from alexnet_tf.bench.layers import measure_layers
from alexnet_tf.bench.report import draw_layers
from alexnet_tf.bench.run import run_benchmark
from alexnet_tf.bench.speed import flops_per_image
from alexnet_tf.cli import main
from alexnet_tf.model.networks import build_model
from alexnet_tf.recipes import get_recipe


def test_work_per_image_is_the_papers():
    model = build_model("paper")
    assert flops_per_image(model, training=False) == 2 * 724_406_816
    # Forward, weights' gradient, inputs' gradient; none of the image.
    assert flops_per_image(model, training=True) == 2 * (3 * 724_406_816 - 105_415_200)


def test_the_shortest_round_counts():
    calls = []
    assert 0 <= shortest(lambda: calls.append(1), 2) < 1
    assert len(calls) > 2


def test_ceiling_is_the_better_of_both():
    assert Ceiling("float32", 1.0, 2.0).rate == 2.0
    assert Ceiling("float32", 3.0, 2.0).rate == 3.0
    ceiling = measure_ceiling("float32", rounds=1)
    assert min(ceiling.matrix_product, ceiling.convolution) > 1e8


def test_every_layer_of_lenet_is_timed():
    names = [layer.name for layer in measure_layers(get_recipe("lenet"), "float32", 2, 1)]
    assert names[:3] == ["mean", "conv1", "sigmoid1"]
    assert names[-1] == "prob"


@pytest.fixture(scope="module")
def benchmark():
    return run_benchmark(get_recipe("lenet"), (1, 4), "bfloat16", 1)


def test_a_whole_run_and_its_picture(benchmark, tmp_path):
    values = json.loads(json.dumps(benchmark.to_json()))
    sizes = [(row["precision"], row["batch_size"]) for row in values["training"]]
    assert sizes == [("bfloat16", 1), ("bfloat16", 4), ("float32", 4)]
    assert [r["precision"] for r in values["ceilings"]] == ["bfloat16", "float32"]
    for row in values["training"] + values["inference"]:
        assert row["images_per_second"] > 0
        assert 0 < row["share_of_peak"] < 1.5
    assert values["peak_memory_bytes"] > 2**20
    draw_layers(benchmark, tmp_path / "layers.png")
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")
    draw_layers(benchmark, tmp_path / "layers.pdf")
    assert (tmp_path / "layers.pdf").read_bytes().startswith(b"%PDF")


def test_the_command_shows_it_as_tables_or_as_one_object(benchmark, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(
        "alexnet_tf.bench.run.run_benchmark", lambda *given: asked.append(given) or benchmark
    )
    words = ["bench", "--recipe", "lenet", "--batch-sizes", "1,4", "--precision", "bfloat16"]
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as left:
            main([*words, *more])
        assert left.value.code == 0
    out = capsys.readouterr().out
    assert asked == [(get_recipe("lenet"), (1, 4), "bfloat16", 5)] * 2
    tables, values = out[: out.rindex("\n{") + 1], json.loads(out[out.rindex("\n{") :])
    assert values["recipe"] == "lenet" and len(values["training"]) == 3
    for part in ("ceiling, GFLOP/s", "images/s", "inference", "conv1"):
        assert part in tables


def test_a_picture_of_another_kind_is_refused(capsys):
    with pytest.raises(SystemExit) as left:
        main(["bench", "--picture", "layers.txt"])
    assert left.value.code == 2
    assert "layers.txt: the name must end in .png" in capsys.readouterr().err


@pytest.mark.parametrize("sizes", ["0", "a", "1,,2", "1,-3"])
def test_bad_batch_sizes(sizes, capsys):
    with pytest.raises(SystemExit) as left:
        main(["bench", "--batch-sizes", sizes])
    assert left.value.code == 2
    assert "must be numbers such as 1,32,128" in capsys.readouterr().err
