"""The data of a report: its image and the kernels before training."""

import contextlib

import numpy as np
import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.report.data import ReportData


def test_unreadable_image_is_reported_at_once(home, tmp_path):
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    for name in ("cut.png", "missing.png"):
        path = str(tmp_path / name)
        with pytest.raises(InputError, match=f"--image {path}"):
            ReportData(home / "run", lambda description: contextlib.nullcontext(), image=path)


@pytest.mark.slow
def test_kernels_before_training_are_the_initial_kernels(home):
    def open_data():
        return ReportData(
            home / "run", lambda description: contextlib.nullcontext(lambda *count: None)
        )

    found = open_data()
    # The learning rate was too small to change a weight.
    np.testing.assert_array_equal(found.kernels.before, found.kernels.after)
    assert (found.kernels.groups, found.kernels.after.shape) == (2, (5, 5, 3, 8))
    tuned = open_data()
    tuned.record = tuned.record.replace(
        options=tuned.record.options.replace(weights=str(home / "run"))
    )
    np.testing.assert_array_equal(tuned.kernels.before, tuned.kernels.after)
    lost = open_data()
    lost.record = lost.record.replace(
        options=lost.record.options.replace(weights=str(home / "gone.keras"))
    )
    assert lost.kernels.before is None
