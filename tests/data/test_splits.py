"""Training, validation and evaluation never use the same image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet_tf.data.examples import ArrayExamples
from alexnet_tf.data.splits import DataSet, Splits, evaluation_split, split_dataset
from alexnet_tf.errors import InputError


def numbered(size, start=0):
    """Returns examples whose label is their index, which identifies them."""
    numbers = np.arange(start, start + size)
    return ArrayExamples(np.zeros((size, 1, 1, 1), np.uint8), numbers)


def data_set(**sizes):
    splits = {name: numbered(size, 1000 * at) for at, (name, size) in enumerate(sizes.items())}
    readers = {name: (lambda examples=examples: examples) for name, examples in splits.items()}
    return DataSet("toys", ("a", "b"), Splits(readers), "toys", 1)


def test_own_validation_split_selects_the_best_epoch():
    data = data_set(train=50, validation=10, test=10)
    splits = split_dataset(data, hold_out=0.1, seed=0)
    assert splits.train is data.splits["train"]
    assert splits.validation is data.splits["validation"]
    assert splits.validation_name == "validation"
    assert splits.selects_best


@given(st.integers(2, 300), st.floats(0.01, 0.9), st.integers(0, 2**32))
def test_held_out_examples_are_not_trained_on(size, fraction, seed):
    data = data_set(train=size, test=5)
    if max(1, round(size * fraction)) >= size:
        with pytest.raises(InputError, match="too few"):
            split_dataset(data, hold_out=fraction, seed=seed)
        return
    splits = split_dataset(data, hold_out=fraction, seed=seed)
    together = np.concatenate([splits.train.labels, splits.validation.labels])
    np.testing.assert_array_equal(np.sort(together), np.arange(size))
    assert len(splits.validation) == max(1, round(size * fraction))
    assert splits.selects_best
    for name, examples in (("train", splits.train), ("validation", splits.validation)):
        again = evaluation_split(data, name, fraction, seed)
        np.testing.assert_array_equal(again.labels, examples.labels)
    np.testing.assert_array_equal(
        evaluation_split(data, "test", fraction, seed).labels, 1000 + np.arange(5)
    )


def test_another_seed_holds_out_other_examples():
    held = [
        split_dataset(data_set(train=200), hold_out=0.1, seed=seed).validation.labels.tolist()
        for seed in (0, 0, 1)
    ]
    assert held[0] == held[1] != held[2]


def test_without_hold_out_the_test_split_is_only_reported():
    data = data_set(train=50, test=10)
    splits = split_dataset(data, hold_out=0.0, seed=0)
    assert len(splits.train) == 50
    assert splits.validation is data.splits["test"]
    assert splits.validation_name == "test"
    assert not splits.selects_best


def test_without_hold_out_and_test_split_there_is_no_validation():
    splits = split_dataset(data_set(train=50), hold_out=0.0, seed=0)
    assert splits.validation is None
    assert not splits.selects_best


def test_limits_draw_from_all_examples():
    data = data_set(train=1000, validation=300)
    splits = split_dataset(data, hold_out=0.1, seed=0, limit_train=100, limit_val=30)
    for examples, size, start in ((splits.train, 1000, 0), (splits.validation, 300, 1000)):
        assert len(examples) == size // 10
        assert len(set(examples.labels)) == size // 10
        # Evenly from the whole range; the first examples would all be in its first tenth.
        quarters = np.bincount((examples.labels - start) * 4 // size, minlength=4)
        assert quarters.min() >= size // 10 // 10
    assert len(split_dataset(data, hold_out=0.1, seed=0, limit_train=5000).train) == 1000


@pytest.mark.parametrize("option", ["limit_train", "limit_val"])
def test_limit_below_one_is_rejected(option):
    with pytest.raises(InputError, match=f"--{option.replace('_', '-')} must be at least 1"):
        split_dataset(data_set(train=9, validation=9), hold_out=0.1, seed=0, **{option: 0})


def test_missing_train_split_is_rejected():
    with pytest.raises(InputError, match="no train split"):
        split_dataset(data_set(test=9), hold_out=0.1, seed=0)


@pytest.mark.parametrize("fraction", [1.0, 1.5])
def test_fraction_outside_its_range_is_rejected(fraction):
    with pytest.raises(InputError, match="held-out fraction"):
        split_dataset(data_set(train=9), hold_out=fraction, seed=0)


def test_evaluation_of_a_missing_split_is_rejected():
    with pytest.raises(InputError, match="no split 'test': choose one of train"):
        evaluation_split(data_set(train=9), "test", 0.1, 0)


def test_evaluation_reads_only_its_split():
    def fail():
        raise AssertionError("read")

    readers = {"train": fail, "validation": fail, "test": lambda: numbered(3)}
    data = DataSet("toys", ("a",), Splits(readers), "toys", 1)
    assert len(evaluation_split(data, "test", 0.1, 0)) == 3


def test_split_is_read_once():
    calls = []
    splits = Splits({"train": lambda: calls.append(1) or numbered(3)})
    assert splits["train"] is splits["train"]
    assert len(calls) == 1
    assert len(splits) == 1
