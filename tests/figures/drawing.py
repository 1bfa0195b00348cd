"""Read pixels and texts of figures in tests."""

import io
import warnings

import numpy as np
from PIL import Image

from alexnet_tf.figures.canvas import png_bytes


def pixels(figure):
    """Renders a figure to uint8 [h, w, 3]; fails on any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = png_bytes(figure, 50)
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def ticks(axes, which):
    return [label.get_text() for label in getattr(axes, f"get_{which}ticklabels")()]
