"""The benchmark: its arithmetic, a small complete run, and the command."""

import json
import sys

import pytest

from alexnet_tf.bench import latency
from alexnet_tf.bench.benchmark import draw_layers, run_benchmark
from alexnet_tf.bench.latency import count_steps, measure_latency
from alexnet_tf.bench.measure import (
    ceiling_of,
    ceiling_works,
    flops_per_image,
    layer_works,
    speed_of,
)
from alexnet_tf.bench.timing import OtherLoad, Work, measure_in_turns
from alexnet_tf.cli import main
from alexnet_tf.model.networks import build_model
from alexnet_tf.recipes import get_recipe


def test_flops_per_image_are_the_papers():
    model = build_model("paper")
    assert flops_per_image(model, training=False) == 2 * 724_406_816
    # Forward, gradient of the weights and of the inputs, except that of the image.
    assert flops_per_image(model, training=True) == 2 * (3 * 724_406_816 - 105_415_200)


def test_works_take_turns_after_their_warm_up(monkeypatch):
    order = []
    works = [Work(name, lambda name=name: order.append(name)) for name in "ab"]
    for work in works:
        monkeypatch.setattr(work, "warm_up", work.run)
    names = []
    measure_in_turns(works, 3, names.append)
    assert "".join(order) == "".join(names) == "ab" + "ab" * 3
    assert all(len(work.seconds) == 3 for work in works)


def test_short_work_is_called_more_than_once_per_interval():
    calls = []
    work = Work("short", lambda: calls.append(1))
    measure_in_turns([work], 1)
    assert work.calls > 1 and len(calls) == 2 + work.calls
    assert 0 <= work.median_seconds < 1


def test_ceiling_is_the_best_rate_of_anything_in_the_precision():
    works = [
        Work("matrix product", print, 10, "float32", seconds=[2.0, 1.0]),
        Work("convolution", print, 10, "float32", seconds=[5.0, 4.0]),
        Work("conv2", print, 30, "float32", seconds=[3.0, 2.0]),
        Work("pool1", print, 0, "float32", seconds=[0.1]),
        Work("conv2", print, 90, "bfloat16", seconds=[1.0]),
    ]
    ceiling = ceiling_of("float32", works)
    assert (ceiling.matrix_product, ceiling.convolution) == (10.0, 2.5)
    assert (ceiling.rate, ceiling.reached_by) == (15.0, "conv2")


def test_speed_is_that_of_the_median_round_with_its_range():
    work = Work("training", print, 60, "float32", 8, seconds=[1.0, 4.0, 2.0])
    speed = speed_of(work, ceiling=60.0)
    assert (speed.images_per_second, speed.slowest, speed.fastest) == (4.0, 2.0, 8.0)
    assert speed.fraction_of_ceiling == 0.5


def test_ceiling_is_measured():
    works = ceiling_works("float32")
    measure_in_turns(works, 1)
    ceiling = ceiling_of("float32", works)
    assert ceiling.rate == max(ceiling.matrix_product, ceiling.convolution)
    assert min(ceiling.matrix_product, ceiling.convolution) > 1e8


def test_layers_of_lenet_all_have_work():
    layers = layer_works(get_recipe("lenet"), "float32", 2)
    names = [layer.forward.name for layer in layers]
    assert names[:3] == ["mean", "conv1", "sigmoid1"]
    assert names[-1] == "prob"
    conv1, conv2 = (layer for layer in layers if layer.forward.name in ("conv1", "conv2"))
    # 28 x 28 positions, 6 kernels of 5 x 5 x 1; then 10 x 10, 16 kernels of 5 x 5 x 6. The
    # gradient of the image is not needed.
    assert conv1.forward.flop == 2 * 2 * 28 * 28 * 6 * 25
    assert conv1.both.flop == 2 * conv1.forward.flop
    assert conv2.forward.flop == 2 * 2 * 10 * 10 * 16 * 25 * 6
    assert conv2.both.flop == 3 * conv2.forward.flop


def test_other_load_is_what_neither_this_process_nor_idleness_used(monkeypatch):
    readings = iter([(100.0, 40.0, 10.0), (120.0, 55.0, 18.0), (120.0, 40.0, 10.0)])
    monkeypatch.setattr(OtherLoad, "_readings", staticmethod(lambda: next(readings)))
    load = OtherLoad()
    assert load.fraction() == pytest.approx((15 - 8) / 20)
    assert load.fraction() == 0.0


def test_other_load_counts_the_whole_processor():
    total, busy, own = OtherLoad._readings()
    assert 0 < own < busy <= total


def test_form_without_its_package_is_listed_with_the_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    forms = {form: latency._FILES[form] for form in ("TFLite, float32", "ONNX")}
    monkeypatch.setattr(latency, "_FILES", forms)
    steps = []
    found = {
        each.form: each for each in measure_latency(get_recipe("lenet"), "float32", steps.append)
    }
    missing = found.pop("ONNX")
    assert missing.median_ms is None and "pip install 'alexnet-tf[onnx]'" in missing.reason
    assert set(found) == {"Keras function, float32", "TFLite, float32"}
    assert all(0 < each.median_ms <= each.percentile_99_ms for each in found.values())
    assert len(steps) == count_steps("float32") - 10  # without the turns of the missing one


def test_benchmark_has_all_cases_and_its_figure_is_written(tmp_path):
    benchmark = run_benchmark(get_recipe("lenet"), (1, 4), "bfloat16", 1)
    values = json.loads(json.dumps(benchmark.to_json()))
    sizes = [(row["precision"], row["batch_size"]) for row in values["training"]]
    assert sizes == [("bfloat16", 1), ("bfloat16", 4), ("float32", 4)]
    assert [r["precision"] for r in values["ceilings"]] == ["bfloat16", "float32"]
    for row in values["training"] + values["inference"]:
        assert row["images_per_second"] > 0
        assert 0 < row["fraction_of_ceiling"] <= 1
        assert row["slowest"] <= row["images_per_second"] <= row["fastest"]
    assert values["processor"]["cores"] >= 1 and 0 <= values["other_load"] <= 1
    assert values["peak_memory_bytes"] > 2**20
    assert [row.form for row in benchmark.latency] == [
        "Keras function, float32",
        "Keras function, bfloat16",
        "SavedModel",
        "TFLite, float32",
        "TFLite, dynamic int8",
        "TFLite, int8",
        "ONNX",
    ]
    draw_layers(benchmark, tmp_path / "layers.png")
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")
    draw_layers(benchmark, tmp_path / "layers.pdf")
    assert (tmp_path / "layers.pdf").read_bytes().startswith(b"%PDF")


def test_native_kernels_are_compared_with_xla_at_the_largest_batch(monkeypatch):
    monkeypatch.setattr(latency, "_FILES", {})  # converting takes longest, and has its own test
    found = run_benchmark(get_recipe("lenet"), (1, 4), "float32", 1, "native")
    cases = [(row.batch_size, row.kernels) for row in found.training]
    assert cases == [(1, "native"), (4, "native"), (4, "xla")]
    assert [row.batch_size for row in found.inference] == [1, 4]


def test_command_prints_tables_or_one_json_object(monkeypatch, capsys):
    forms = {form: latency._FILES[form] for form in ("TFLite, float32",)}
    monkeypatch.setattr(latency, "_FILES", forms)
    benchmark = run_benchmark(get_recipe("lenet"), (1, 4), "bfloat16", 1)
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
    for part in ("ceiling, GFLOP/s", "images/s", "inference", "one image, ms", "TFLite", "conv1"):
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
