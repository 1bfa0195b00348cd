"""Kernels as images: what is where, scaled how."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from alexnet_tf.figures.kernels import draw_kernels, mosaic


def images(figure):
    return [axes.images[0].get_array() for axes in figure.axes]


def test_the_papers_kernels_stand_in_three_rows_of_sixteen_for_each_tower():
    kernels = np.random.default_rng(0).normal(size=(11, 11, 3, 96))
    figure = draw_kernels(kernels, 2)
    assert [image.shape for image in images(figure)] == [(3 * 12 + 1, 16 * 12 + 1, 3)] * 2
    assert "1–48" in figure.axes[0].get_title(loc="left")
    assert "49–96" in figure.axes[1].get_title(loc="left")


def test_each_kernel_is_at_its_place_with_zero_in_the_middle():
    kernels = np.zeros((2, 2, 1, 3))
    kernels[0, 0, 0, 0], kernels[1, 1, 0, 0] = 4, -2
    image = mosaic(kernels)
    assert image.shape == (4, 10, 3)
    middle, top = 0.5, 0.95
    expected = [[top, middle], [middle, middle - (top - middle) / 2]]
    np.testing.assert_allclose(image[1:3, 1:3, 0], expected, atol=1e-6)
    np.testing.assert_allclose(image[1:3, 4:6], middle)  # only zeros: nothing to scale by
    assert (image[:, 3] == 1).all()


@given(
    arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=4, max_dims=4, max_side=5),
        elements=st.floats(allow_nan=True, allow_infinity=True, width=32),
    )
)
def test_any_kernels_give_colors(kernels):
    with np.errstate(all="ignore"):
        image = mosaic(kernels)
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1


def test_before_and_after_stand_in_panels_of_their_own():
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
def test_what_cannot_be_drawn_is_refused(shape, groups):
    with pytest.raises(ValueError, match="Received"):
        draw_kernels(np.zeros(shape), groups)
