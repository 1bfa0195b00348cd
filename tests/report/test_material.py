"""What the report is made of: kernels before training."""

import contextlib

import numpy as np
import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.report.material import Material


def test_an_image_that_cannot_be_read_is_told_at_once(home, tmp_path):
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    for name in ("cut.png", "missing.png"):
        path = str(tmp_path / name)
        with pytest.raises(InputError, match=f"--image {path}"):
            Material(home / "run", lambda what: contextlib.nullcontext(), image=path)


@pytest.mark.slow
def test_before_training_is_what_the_run_began_with(home):
    def material():
        return Material(home / "run", lambda what: contextlib.nullcontext(lambda *count: None))

    found = material()
    # The run's rate was too small to change a weight.
    np.testing.assert_array_equal(found.kernels.before, found.kernels.after)
    assert (found.kernels.groups, found.kernels.after.shape) == (2, (5, 5, 3, 8))
    tuned = material()
    tuned.record = tuned.record.replace(
        options=tuned.record.options.replace(weights=str(home / "run"))
    )
    np.testing.assert_array_equal(tuned.kernels.before, tuned.kernels.after)
    lost = material()
    lost.record = lost.record.replace(
        options=lost.record.options.replace(weights=str(home / "gone.keras"))
    )
    assert lost.kernels.before is None
