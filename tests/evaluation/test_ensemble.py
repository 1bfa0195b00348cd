"""Averaged predictions of several networks, against averages in NumPy."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from command_line import run_command
from PIL import Image
from run_records import record_on

import alexnet_tf as an
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation import ensemble
from alexnet_tf.evaluation.evaluate import evaluate
from alexnet_tf.model.networks import build_model
from alexnet_tf.model.persistence import save_model
from alexnet_tf.network_settings import Convolution, Network
from alexnet_tf.runs import SEEDS, write_run

pytestmark = pytest.mark.usefixtures("own_cache")

NAMES = tuple("abcdefg")
SMALL = Network(
    convolutions=(Convolution(6, 3, strides=2),),
    hidden_units=(),
    input_size=8,
    norm="none",
    mean=(120.0, 110.0, 100.0),
    scale=(1 / 200,),  # so that no probability is 0
)
# Gray, with another size of input.
OTHER = SMALL.replace(input_size=11, channels=1, mean=(100.0,))


def build(network, seed, names=NAMES):
    return build_model(network, class_names=names, resize_pixels=13, init="he", seed=seed)


@pytest.fixture(scope="module")
def networks():
    return [build(SMALL, 1), build(OTHER, 2), build(SMALL, 3)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """21 images in a train and a test split, of 13 x 13 pixels: resizing does not change them."""
    root = tmp_path_factory.mktemp("ensemble") / "photos"
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in NAMES:
            (root / split / name).mkdir(parents=True)
            for i in range(3):
                image = random.integers(0, 256, (13, 13, 3), dtype=np.uint8)
                Image.fromarray(image).save(root / split / name / f"{i}.png")
    return root


def by_hand(networks, photos):
    """Probabilities [networks, n, classes] of the center crop by slicing, and labels."""
    paths = sorted((photos / "test").glob("*/*.png"))
    images = np.stack([np.asarray(Image.open(path)) for path in paths]).astype(np.float32)
    labels = np.array([NAMES.index(path.parent.name) for path in paths])
    gray = np.round(images @ np.array([0.299, 0.587, 0.114]))[..., None].astype(np.float32)
    probabilities = []
    for network in networks:
        side, channels = network.input_shape[1], network.input_shape[3]
        start = (13 - side) // 2
        source = gray if channels == 1 else images
        crops = source[:, start : start + side, start : start + side]
        probabilities.append(keras.ops.convert_to_numpy(network(crops, training=False)))
    return np.stack(probabilities), labels


def counts(probabilities, labels):
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rank = np.array([list(row).index(label) for row, label in zip(order, labels, strict=True)])
    loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    return (int((rank >= 1).sum()), int((rank >= 5).sum())), loss


def assert_same(errors, expected):
    """Checks for equal counts, and losses that differ in the last digits only."""
    assert dataclasses.replace(errors, loss=0.0) == dataclasses.replace(expected, loss=0.0)
    assert errors.loss == pytest.approx(expected.loss, rel=1e-6)


def test_ensemble_matches_numpy_and_its_members_match_evaluate(networks, photos):
    calls = []
    found = an.evaluate_ensemble(
        networks, dataset=photos, split="test", batch_size=6, on_progress=lambda *c: calls.append(c)
    )
    probabilities, labels = by_hand(networks, photos)
    for ours, network, alone in zip(found.members, networks, probabilities, strict=True):
        expected, loss = counts(alone, labels)
        assert (ours.center_crop.top1_errors, ours.center_crop.top5_errors) == expected
        assert ours.center_crop.loss == pytest.approx(loss, rel=1e-5)
        single = evaluate(model=network, dataset=photos, split="test")
        assert_same(ours.center_crop, single.center_crop)
    together, loss = counts(probabilities.mean(axis=0), labels)
    errors = found.ensemble.center_crop
    assert (errors.examples, errors.top1_errors, errors.top5_errors) == (21, *together)
    assert errors.loss == pytest.approx(loss, rel=1e-5)
    assert found.ensemble.ten_crop is None
    assert calls[-1] == (21, 21)
    alone = [member.center_crop.top1_errors for member in found.members]
    gain = found.gain("center_crop")
    assert gain.over_best == pytest.approx((min(alone) - together[0]) / 21)
    assert gain.over_mean == pytest.approx((np.mean(alone) - together[0]) / 21)


def test_ensemble_of_a_network_with_itself_equals_the_network(networks, photos):
    found = an.evaluate_ensemble(networks[:1] * 2, dataset=photos, ten_crop=True)
    alone = evaluate(model=networks[0], dataset=photos, ten_crop=True)
    for crop in found.crops:
        for errors in (getattr(found.ensemble, crop), getattr(found.members[1], crop)):
            assert_same(errors, getattr(alone, crop))
        assert found.gain(crop).over_best == found.gain(crop, "top5_error").over_mean == 0
    assert found.crops == ("center_crop", "ten_crop")


def test_ensemble_matches_classes_in_another_order_by_name(networks, photos):
    reversed_model = build(SMALL, 3, NAMES[::-1])
    for ours, theirs in zip(reversed_model.layers, networks[2].layers, strict=True):
        is_classifier = isinstance(theirs, keras.layers.Dense)
        ours.set_weights([w[..., ::-1] if is_classifier else w for w in theirs.get_weights()])
    expected = an.evaluate_ensemble([networks[0], networks[2]], dataset=photos)
    found = an.evaluate_ensemble([networks[0], reversed_model], dataset=photos)
    assert found.ensemble.center_crop == expected.ensemble.center_crop


def test_ensemble_rejects_bad_members(networks, photos, tmp_path):
    with pytest.raises(InputError, match="at least two networks"):
        an.evaluate_ensemble(networks[:1], dataset=photos)
    with pytest.raises(InputError, match="name the data set"):
        an.evaluate_ensemble(networks)
    others = build(SMALL, 4, (*NAMES[:-1], "other"))
    with pytest.raises(InputError, match=f"the class '{NAMES[-1]}', which the model does not have"):
        an.evaluate_ensemble([networks[0], others], dataset=photos)
    with pytest.raises(InputError, match="6 classes"):
        an.evaluate_ensemble([networks[0], build(SMALL, 4, NAMES[:6])], dataset=photos)
    with pytest.raises(InputError, match=r"none\.keras not found"):
        an.evaluate_ensemble([networks[0], tmp_path / "none.keras"], dataset=photos)


def add_run(
    folder, network, dataset, seed, hold_out=0.2, validation_split="train (held-out)", data_dir=None
):
    folder.mkdir(parents=True)
    save_model(network, folder / "best.keras")
    record = record_on(
        dataset, data_dir=data_dir, split=validation_split, seed=seed, hold_out=hold_out
    )
    write_run(folder, record)


@pytest.fixture
def series(networks, photos, tmp_path, monkeypatch):
    """A folder of `train --seeds` with two runs that have different held-out parts of train."""
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2):
        add_run(tmp_path / "both" / f"seed-{seed}", networks[seed - 1], photos, seed)
    (tmp_path / "both" / SEEDS).write_text('{"seeds": [1, 2], "options": {}}')
    return tmp_path / "both"


def test_ensemble_is_not_evaluated_on_what_one_run_held_out(series, capsys):
    code, out, err = run_command(["evaluate", "--run", "both", "--split", "validation"], capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--split test" in err
    assert an.evaluate_ensemble([series]).ensemble.split == "test"


@pytest.mark.parametrize("validation_split", ["test", ""])
def test_ensemble_is_not_evaluated_on_held_out_images_of_another_run(
    series, networks, photos, validation_split
):
    add_run(series.parent / "whole", networks[2], photos, 3, 0.0, validation_split)
    members = [series / "seed-1", series.parent / "whole"]
    assert an.evaluate_ensemble(members).ensemble.split == "test"
    for order in (members, members[::-1]):
        with pytest.raises(InputError, match="--split test"):
            an.evaluate_ensemble(order, split="validation")


def test_ensemble_uses_the_validation_split_of_another_data_set(series, photos):
    shutil.copytree(photos / "train", series.parent / "others" / "train")
    shutil.copytree(photos / "test", series.parent / "others" / "val")
    others = series.parent / "others"
    for split in (None, "validation"):
        found = an.evaluate_ensemble([series], dataset=others, split=split)
        assert (found.ensemble.split, found.ensemble.dataset) == ("validation", str(others))
    with pytest.raises(InputError, match="--split test"):  # their own data set, by name
        an.evaluate_ensemble([series], dataset=photos, split="validation")


def test_ensemble_reads_other_sizes_from_the_runs_data_dir(networks, photos, tmp_path, monkeypatch):
    data_dirs = []

    def opened(name, *, data_dir=None, channels=3):
        data_dirs.append(data_dir)
        return open_dataset(name, channels=channels)

    monkeypatch.setattr(ensemble, "open_dataset", opened)
    for seed in (1, 2):
        run = tmp_path / f"seed-{seed}"
        add_run(run, networks[seed - 1], photos, 1, data_dir="prepared")
    an.evaluate_ensemble([tmp_path / "seed-1", tmp_path / "seed-2"])
    an.evaluate_ensemble([tmp_path / "seed-1", tmp_path / "seed-2"], data_dir="given")
    assert data_dirs == ["prepared", "given"]


def test_ensemble_json_has_each_network_the_ensemble_and_the_gain(series, networks, capsys):
    runs = ["--run", "both/seed-1", "--run", "both/seed-2"]
    code, out, err = run_command(["evaluate", *runs, "--ten-crop", "--json"], capsys)
    assert (code, err, out.count("\n")) == (0, "", 1)
    values = json.loads(out)
    assert [m["model"] for m in values["members"]] == [f"both/seed-{s}/best.keras" for s in (1, 2)]
    assert (values["split"], values["skipped"]) == ("test", 0)
    alone = [m["ten_crop"]["top1_errors"] for m in values["members"]]
    together = values["ensemble"]["ten_crop"]["top1_errors"]
    gain = values["gain"]["ten_crop"]["top1_error"]
    assert gain["over_best"] == pytest.approx((min(alone) - together) / 21)
    found = an.evaluate_ensemble([series], ten_crop=True)
    assert found.to_json() == {**values, "members": found.to_json()["members"]}


def test_ensemble_table_has_each_network_the_average_and_the_gain(series, capsys):
    model = ["--model", "both/seed-1/best.keras"]
    code, out, _ = run_command(["evaluate", "--run", "both", *model], capsys)
    assert code == 0
    assert "average of 3 on" in out
    assert out.count("seed-1") == 2 and out.count("seed-2") == 1
    found = an.evaluate_ensemble([series, series / "seed-1" / "best.keras"])
    cells = [f"({e.center_crop.top1_errors} of 21)" for e in (*found.members, found.ensemble)]
    rows = [line for line in out.splitlines() if "of 21" in line]
    assert len(rows) == 4
    assert all(cell in row for cell, row in zip(cells, rows, strict=True))
    assert f"{100 * found.gain('center_crop').over_best:+.2f} points" in out
