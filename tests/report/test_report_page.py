"""The table of settings."""

import pytest

from alexnet_tf.report.page import settings_rows


@pytest.mark.slow
def test_settings_rows_match_the_record(home, made):
    from alexnet_tf.runs import read_run

    found = dict(settings_rows(read_run(home / "run"), 1))
    assert found["Epochs"] == "1 of 1"
    assert found["Training images"] == "36"
    assert found["Network"] == "16 × 16 RGB input"
    assert found["Learning rate"].startswith("1e-30")
