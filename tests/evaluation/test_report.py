"""The evaluation's JSON."""

import json

import pytest

from alexnet_tf.evaluation.report import Errors, Evaluation


def test_json_has_counts_and_fractions():
    errors = Errors(examples=8, top1_errors=3, top5_errors=1, loss=0.5)
    evaluation = Evaluation("best.keras", "shapes", "validation", errors, ten_crop=errors)
    values = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert {k: values[k] for k in ("model", "dataset", "split")} == {
        "model": "best.keras",
        "dataset": "shapes",
        "split": "validation",
    }
    assert values["center_crop"] == values["ten_crop"]
    assert values["center_crop"]["examples"] == 8
    assert values["center_crop"]["top1_errors"] == 3
    assert values["center_crop"]["top5_errors"] == 1
    assert values["center_crop"]["top1_error"] == pytest.approx(0.375)
    assert values["center_crop"]["top5_error"] == pytest.approx(0.125)
    # Wilson's interval of 3 of 8, worked by hand.
    assert values["center_crop"]["top1_interval"] == pytest.approx([0.1368, 0.6943], abs=5e-5)
    low, high = values["center_crop"]["top5_interval"]
    assert low < 0.125 < high


def test_ten_crop_is_absent_when_not_asked_for():
    evaluation = Evaluation("m", "d", "test", Errors(1, 0, 0, 0.1))
    assert "ten_crop" not in evaluation.to_json()


def test_a_loss_that_is_no_number_is_null():
    values = Errors(1, 1, 1, float("nan")).to_json()
    assert json.dumps(values, allow_nan=False)
    assert values["loss"] is None
