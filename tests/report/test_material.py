"""What the report is made of: kernels before training."""

import contextlib

import numpy as np
import pytest

from alexnet_tf.report.material import Material


@pytest.mark.slow
def test_before_training_is_what_the_run_began_with(home):
    def material():
        return Material(home / "run", lambda what: contextlib.nullcontext(lambda *count: None))

    found = material()
    # The run's rate was too small to change a weight.
    np.testing.assert_array_equal(found.kernels.before, found.kernels.after)
    assert (found.kernels.groups, found.kernels.after.shape) == (2, (5, 5, 3, 8))
    tuned = material()
    tuned.record["options"]["overrides"]["weights"] = str(home / "run")
    np.testing.assert_array_equal(tuned.kernels.before, tuned.kernels.after)
    lost = material()
    lost.record["options"]["overrides"]["weights"] = str(home / "gone.keras")
    assert lost.kernels.before is None
