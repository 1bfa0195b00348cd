"""Settings in words."""

import pytest

from alexnet_tf.report.facts import facts


@pytest.mark.slow
def test_facts_are_those_of_the_record(home, made):
    from alexnet_tf.runs import read_run

    found = dict(facts(read_run(home / "run"), 1))
    assert found["Epochs"] == "1 of 1"
    assert found["Trained on"] == "36 images"
    assert found["Network"] == "16 × 16 RGB input"
    assert found["Learning rate"].startswith("1e-30")
