"""The public names: documented arguments and results, and examples that run."""

import doctest
import inspect
import re

import numpy as np
import pytest

import alexnet_tf

CALLABLES = [name for name in alexnet_tf.PUBLIC_NAMES if name not in ("InputError", "TrainOptions")]
EXAMPLES = [
    *("GroupedConv2D", "LocalResponseNormalization", "SpatialResponseNormalization"),
    *("BatchNormalization", "MaxPooling2D", "MeanSubtraction", "PaperDropout", "PaperMomentum"),
    *("build_model", "save_model", "custom_objects", "get_recipe", "InputError", "TrainOptions"),
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_a_public_name_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = getattr(alexnet_tf, name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    failures = []
    for test in doctest.DocTestFinder(recurse=False).find(
        found, globs={**vars(inspect.getmodule(found)), "an": alexnet_tf, "np": np}
    ):
        assert test.examples
        runner.run(test, out=failures.append)
    assert not failures, "".join(failures)


def test_every_public_name_with_an_example_is_run():
    with_examples = {
        name
        for name in alexnet_tf.PUBLIC_NAMES
        if ">>> " in inspect.getdoc(getattr(alexnet_tf, name))
    }
    assert with_examples == set(EXAMPLES)


@pytest.mark.parametrize("name", CALLABLES)
def test_public_name_documents_its_arguments_and_its_result(name):
    found = getattr(alexnet_tf, name)
    text = inspect.getdoc(found)
    parameters = inspect.signature(found).parameters.values()
    if name != "BatchNormalization":  # refers to Keras' layer
        documented = re.findall(r"^  \*{0,2}(\w+): ", text, re.MULTILINE)
        assert {each.name for each in parameters} <= set(documented)
    if inspect.isclass(found):
        assert issubclass(found, Exception) or re.search("^(Input shape|Attributes):", text, re.M)
    else:
        assert bool(re.search("^(Returns|Yields):", text, re.M)) == (
            inspect.signature(found).return_annotation is not None
        )
