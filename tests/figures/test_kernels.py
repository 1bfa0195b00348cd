"""Kernels as images: position and scale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from alexnet_tf.figures.kernels import draw_kernels, kernel_grid


def images(figure):
    return [axes.images[0].get_array() for axes in figure.axes]


def test_kernels_of_the_paper_have_three_rows_of_sixteen_per_group():
    kernels = np.random.default_rng(0).normal(size=(11, 11, 3, 96))
    figure = draw_kernels(kernels, 2)
    assert [image.shape for image in images(figure)] == [(3 * 12 + 1, 16 * 12 + 1, 3)] * 2
    assert "1–48" in figure.axes[0].get_title(loc="left")
    assert "49–96" in figure.axes[1].get_title(loc="left")


def test_kernel_grid_maps_zero_to_middle_gray_at_each_position():
    kernels = np.zeros((2, 2, 1, 3))
    kernels[0, 0, 0, 0], kernels[1, 1, 0, 0] = 4, -2
    image = kernel_grid(kernels)
    assert image.shape == (4, 10, 3)
    middle, top = 0.5, 0.95
    expected = [[top, middle], [middle, middle - (top - middle) / 2]]
    np.testing.assert_allclose(image[1:3, 1:3, 0], expected, atol=1e-6)
    np.testing.assert_allclose(image[1:3, 4:6], middle)  # only zeros
    assert (image[:, 3] == 1).all()


@given(
    arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=4, max_dims=4, max_side=5),
        elements=st.floats(allow_nan=True, allow_infinity=True, width=32),
    )
)
def test_kernel_grid_of_any_values_is_in_range(kernels):
    with np.errstate(all="ignore"):
        image = kernel_grid(kernels)
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1


def test_kernels_before_and_after_training_have_own_panels():
    kernels = np.ones((3, 3, 3, 4))
    figure = draw_kernels(kernels, 1, before=-kernels)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "before training",
        "after training",
    ]
    before, after = images(figure)
    assert before[1, 1, 0] < 0.5 < after[1, 1, 0]


@pytest.mark.parametrize(
    ("shape", "groups"), [((3, 3, 4), 1), ((3, 3, 3, 5), 2), ((3, 3, 3, 0), 1)]
)
def test_kernels_of_invalid_shape_or_groups_are_rejected(shape, groups):
    with pytest.raises(ValueError, match="Received"):
        draw_kernels(np.zeros(shape), groups)
