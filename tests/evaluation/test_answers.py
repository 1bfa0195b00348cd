"""What a network said about each image, against NumPy."""

import numpy as np
from hypothesis import given

from alexnet_tf.evaluation.answers import Answers
from tests.evaluation.test_metrics import SETTINGS, answers_of, outputs


@SETTINGS
@given(outputs())
def test_answers_are_the_first_five_in_order(given):
    probabilities, labels = given
    said = answers_of(probabilities, labels)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    k = min(5, probabilities.shape[1])
    np.testing.assert_array_equal(said.classes, order[:, :k])
    np.testing.assert_array_equal(
        said.probabilities, np.take_along_axis(probabilities, order, 1)[:, :k]
    )
    ranks = [list(row).index(label) for row, label in zip(order, labels, strict=True)]
    np.testing.assert_array_equal(said.ranks, ranks)
    np.testing.assert_array_equal(
        said.label_probabilities, probabilities[np.arange(len(labels)), labels]
    )


def test_parts_are_joined_in_order():
    first, second = answers_of([[0.9, 0.1]], [1]), answers_of([[0.3, 0.7], [0.6, 0.4]], [1, 0])
    both = Answers.join([first, second])
    assert len(both) == 3
    np.testing.assert_array_equal(both.labels, [1, 1, 0])
    np.testing.assert_array_equal(both.predicted, [0, 1, 0])
    np.testing.assert_array_equal(both.is_right, [False, True, True])


def test_an_image_takes_a_few_numbers_however_many_classes_there_are():
    answers = Answers(
        np.zeros(10, np.int64),
        np.zeros(10, np.int32),
        np.zeros((10, 5), np.int32),
        np.zeros((10, 5), np.float32),
        np.zeros(10, np.float32),
    )
    assert sum(values.nbytes for values in vars(answers).values()) == 10 * 56
