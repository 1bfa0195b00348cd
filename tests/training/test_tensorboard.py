"""The files of TensorBoard, read back."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from run_records import epoch_record

import alexnet_tf as an
from alexnet_tf.errors import InputError
from alexnet_tf.figures.canvas import png_bytes
from alexnet_tf.figures.kernels import draw_kernels
from alexnet_tf.model.inspection import first_kernels
from alexnet_tf.training import trainer
from alexnet_tf.training.tensorboard import TensorBoardWriter, check_tensorboard

pytest.importorskip("tensorboard", reason="tensorboard is missing (extra `tensorboard`)")


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return events


def steps(events, tag):
    return [event.step for event in events.Tensors(tag)]


@pytest.mark.slow
def test_tensorboard_files_have_curves_images_histograms_graph_and_one_profile(
    tiny_recipe, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr(trainer, "_SECONDS_PER_CALL", 0)  # one update per call
    options = {"precision": "float32", "quiet": True, "tensorboard": True}
    an.train(str(photos), recipe=tiny_recipe, run_dir=tmp_path / "run", epochs=1, **options)
    options = {"quiet": True, "tensorboard": True}
    result = an.train(run_dir=tmp_path / "run", resume=True, epochs=2, **options)
    folder = tmp_path / "run" / "tensorboard"
    events = read(folder)
    assert steps(events, "training/loss") == [1, 2]
    written = [tf.make_ndarray(e.tensor_proto) for e in events.Tensors("training/loss")]
    assert written == pytest.approx([r.training_loss for r in result.history], rel=1e-6)
    # Before training, and after each epoch; the last image is that of the saved model.
    assert steps(events, "conv1's kernels") == [0, 1, 2]
    model = an.load_model(tmp_path / "run" / "last.keras")
    picture = events.Tensors("conv1's kernels")[-1].tensor_proto.string_val[2]
    expected = tf.io.decode_png(png_bytes(draw_kernels(*first_kernels(model)), 80), channels=3)
    np.testing.assert_array_equal(tf.io.decode_png(picture), expected)
    weights = {v.path: v.numpy() for v in model.trainable_variables}
    for path, values in weights.items():
        assert steps(events, f"weights/{path}") == [0, 1, 2]
        buckets = tf.make_ndarray(events.Tensors(f"weights/{path}")[-1].tensor_proto)
        assert buckets.shape == (30, 3)
        assert buckets[:, 2].sum() == values.size
        assert buckets[0, 0] == pytest.approx(values.min(), abs=1e-6) or np.ptp(values) == 0
    width, height, *images = events.Tensors("inputs, augmented")[0].tensor_proto.string_val
    assert (width, height, len(images)) == (b"16", b"16", 8)
    assert len({bytes(image) for image in images}) == 8
    assert steps(events, "inputs, augmented") == [0]
    names = {node.name for node in events.Graph().node}
    assert any("conv1" in name for name in names) and any("fc" in name for name in names)
    assert len(list(folder.glob("plugins/profile/*/*.xplane.pb"))) == 1


def test_profile_plugin_shows_the_operations_of_the_second_call(tmp_path):
    reason = "xprof is missing (extra `tensorboard`)"
    convert = pytest.importorskip("xprof.convert.raw_to_tool_data", reason=reason)
    writer = TensorBoardWriter(tmp_path, 0)
    for operation in (tf.exp, tf.sin, tf.cos):
        with writer.profiling():
            operation(tf.ones((100, 100)))
    (path,) = (tmp_path / "tensorboard").glob("plugins/profile/*/*.xplane.pb")
    assert "trace_viewer" in {n.rstrip("@") for n in convert.xspace_to_tool_names([str(path)])}
    trace, _ = convert.xspace_to_tool_data([str(path)], "trace_viewer", {})
    assert "Sin" in trace and "Exp" not in trace and "Cos" not in trace


def test_histograms_exclude_nan_and_infinite_values(tmp_path, tiny_model):
    values = np.array([-1, 0.5, 1, np.nan, np.inf], np.float32)
    tiny_model.trainable_variables[1].assign(np.resize(values, 8))
    writer = TensorBoardWriter(tmp_path, 0)
    writer.write([epoch_record(1)], tiny_model)
    events = read(tmp_path / "tensorboard")
    tag = f"weights/{tiny_model.trainable_variables[1].path}"
    buckets = tf.make_ndarray(events.Tensors(tag)[0].tensor_proto)
    assert buckets[:, 2].sum() == 6
    assert (buckets[0, 0], buckets[-1, 1]) == (-1, 1)
    assert "validation/loss" not in events.Tags()["tensors"]


@pytest.fixture
def tiny_model(tiny_recipe):
    return an.build_model(tiny_recipe, classes=3)


def test_preview_is_the_first_images_with_lighting_clipped(tiny_recipe, photos):
    from alexnet_tf.data.sources import open_dataset
    from alexnet_tf.data.statistics import fit_statistics
    from alexnet_tf.training.devices import configure_devices
    from alexnet_tf.training.input import TrainingInput

    train = open_dataset(photos).splits["train"]
    statistics, _ = fit_statistics(train, tiny_recipe.resize_pixels)
    machine = configure_devices("single", None, "float32")
    recipe = tiny_recipe.replace(lighting_std=0.5)
    source = TrainingInput(machine, train, recipe, statistics, seed=3)
    batch = next(source.epoch(0, lighting=True))
    lit = batch["image"].numpy()[:8] + batch["offset"].numpy()[:8, None, None]
    np.testing.assert_array_equal(source.preview(8), np.round(np.clip(lit, 0, 255)))
    assert np.abs(source.preview(8) - batch["image"].numpy()[:8].astype(float)).max() > 2


def test_missing_tensorboard_is_reported_with_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match=r"--tensorboard needs tensorboard.*\[tensorboard\]"):
        check_tensorboard()
