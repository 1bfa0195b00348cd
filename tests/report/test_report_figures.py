"""The figures of the report with a thousand classes."""

import types

import numpy as np

from alexnet_tf.evaluation.error_analysis import LabeledPredictions, class_errors
from alexnet_tf.evaluation.metrics import Errors, Evaluation
from alexnet_tf.figures.canvas import LIGHT
from alexnet_tf.report.figures import FIGURES


def test_figures_of_a_thousand_classes_show_the_worst():
    random = np.random.default_rng(0)
    labels = np.arange(3000) % 1000
    classes = random.integers(0, 1000, (3000, 5)).astype(np.int32)
    ranks = np.where(classes[:, 0] == labels, 0, 7).astype(np.int32)
    probabilities = np.full((3000, 5), 0.2, np.float32)
    predictions = LabeledPredictions(labels, ranks, classes, probabilities, labels * 0.0)
    wrong = int((ranks > 0).sum())
    data = types.SimpleNamespace(
        predictions=predictions,
        class_names=[f"class {i}" for i in range(1000)],
        display_names=[f"class {i}" for i in range(1000)],
        class_errors=class_errors(predictions, 1000),
        evaluation=Evaluation("m", "d", "test", Errors(3000, wrong, wrong, 7.0)),
    )
    (axes,) = FIGURES["confusion"].draw(data, LIGHT).axes
    assert all("→" in label.get_text() for label in axes.get_yticklabels())
    assert "most frequent" in FIGURES["confusion"].alt(data)
    (axes,) = FIGURES["errors"].draw(data, LIGHT).axes
    assert any("960 classes" in text.get_text() for text in axes.texts)
