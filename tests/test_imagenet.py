"""ImageNet's class names."""

from alexnet_tf import imagenet


def test_a_thousand_synsets_in_order_each_with_a_name_of_its_own():
    synsets, names = imagenet.synsets(), imagenet.class_names()
    assert len(synsets) == len(names) == 1000
    assert list(synsets) == sorted(set(synsets))  # class numbers follow the synsets' order
    assert len(set(names)) == 1000
    assert all(len(synset) == 9 and synset[1:].isdecimal() for synset in synsets)
    assert all(name and name == name.strip() for name in names)


def test_classes_that_everyone_knows_are_where_everyone_has_them():
    names = imagenet.class_names()
    known = {0: "tench", 207: "golden retriever", 281: "tabby", 985: "daisy", 999: "toilet tissue"}
    assert {number: names[number] for number in known} == known
    assert names[134] == "crane bird" and names[517] == "crane"


def test_readable_replaces_synsets_only():
    assert imagenet.readable(["n01440764", "tulip"]) == ("tench", "tulip")
