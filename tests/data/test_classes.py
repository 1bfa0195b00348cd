"""Classes are matched by name, and ImageNet's by WordNet id, in whatever order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet_tf import imagenet
from alexnet_tf.data.classes import class_identities, match_classes


@given(st.permutations([str(number) for number in range(17)]))
def test_equal_names_match_in_any_order(names):
    model = [str(number) for number in range(17)]
    match = match_classes(model, names)
    assert [model[number] for number in match] == list(names)


@pytest.mark.parametrize(
    ("model", "data"),
    [(("a", "b"), ("a", "c")), (("a", "b"), ("a", "b", "c")), (("a", "a"), ("a", "b"))],
)
def test_other_names_do_not_match(model, data):
    assert match_classes(model, data) is None


def test_names_given_twice_match_only_in_the_same_order():
    np.testing.assert_array_equal(match_classes(("a", "a", "b"), ("a", "a", "b")), [0, 1, 2])
    assert match_classes(("a", "a", "b"), ("b", "a", "a")) is None


def test_imagenet_by_name_synset_and_devkit_words_is_the_same():
    names, synsets = imagenet.class_names(), imagenet.synsets()
    devkit = [f"{name}, other words" for name in names]
    devkit[134] = devkit[517] = "crane"  # the bird and the machine
    devkit[638], devkit[639] = "maillot", "maillot, tank suit"
    for data in (names, synsets, devkit):
        np.testing.assert_array_equal(match_classes(names, data), np.arange(1000))
    swapped = list(names)
    swapped[3], swapped[7] = swapped[7], swapped[3]  # classes that really are in another order
    expected = np.arange(1000)
    expected[[3, 7]] = 7, 3
    np.testing.assert_array_equal(match_classes(names, swapped), expected)
    turned = synsets[::-1]
    np.testing.assert_array_equal(match_classes(names, turned), np.arange(1000)[::-1])


def test_a_part_of_imagenet_matches_by_wordnet_id():
    some = ("goldfish, Carassius auratus", "tench", "crane (n02012849)")
    assert class_identities(some) == ("n01443537", "n01440764", "n02012849")
    data = ("n01440764", "n02012849", "n01443537")
    np.testing.assert_array_equal(match_classes(some, data), [1, 2, 0])


def test_cardigan_the_dog_and_the_garment_stay_apart():
    assert class_identities(("Cardigan", "cardigan")) == ("n02113186", "n02963159")
