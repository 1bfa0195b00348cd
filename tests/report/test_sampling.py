"""Which images are shown."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alexnet_tf.data.examples import ArrayExamples
from alexnet_tf.report.sampling import of_each_class, some


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(1, 9))
def test_images_of_as_many_classes_as_can_be(labels, count):
    labels = np.array(labels)
    chosen = of_each_class(labels, count)
    assert len(chosen) == len(set(chosen.tolist())) == min(count, len(labels))
    assert len(set(labels[chosen].tolist())) == min(count, len(set(labels.tolist())))


def test_a_sample_is_in_order_without_repeats_and_the_same_each_time():
    images = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    examples = ArrayExamples(images, np.arange(50))
    first, second = some(examples, 10, 3).labels, some(examples, 10, 3).labels
    np.testing.assert_array_equal(first, second)
    assert (np.diff(first) > 0).all()
    assert some(examples, 50, 3) is examples
