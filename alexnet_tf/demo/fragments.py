"""Parts of the page without a Gradio component, as HTML with alternative texts."""

from html import escape

import matplotlib
import numpy as np

from alexnet_tf.demo.predictor import ActiveKernel, ImageResult
from alexnet_tf.evaluation.similarity import Neighbor
from alexnet_tf.evaluation.similarity_picture import short_name
from alexnet_tf.figures.canvas import image_uri, is_small

STYLE = """
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 0; padding: 0; list-style: none; }
.tiles li { margin: 0; width: 92px; font-size: 12px; line-height: 1.3; overflow-wrap: anywhere; }
.tiles img { display: block; width: 92px; height: 92px; margin-bottom: 4px; }
.tiles img.sharp { image-rendering: pixelated; }
.note { margin: 4px 0 8px; font-size: 13px; }
.problem { margin: 0; padding: 10px 12px; border-left: 4px solid #c0392b; }
"""


def kernels_html(result: ImageResult) -> str:
    """Return the kernels with the largest activations, each above a heat map of them."""
    tiles = "".join(_kernel(kernel) for kernel in result.kernels)
    return (
        "<p class='note'>The kernels of conv1 with the largest activations, in descending order. "
        "Below each kernel, its activations over the image: brighter is larger.</p>"
        f"<ul class='tiles'>{tiles}</ul>"
    )


def similar_html(result: ImageResult, dataset: str) -> str:
    """Return the nearest images.

    Args:
      result: The results for an image.
      dataset: The data set that was searched; "" if there is none.
    """
    if not dataset:
        return "<p class='note'>Start the demo with --in DATASET to see similar images here.</p>"
    tiles = "".join(_neighbor(pixels, neighbor) for pixels, neighbor in result.similar)
    return (
        f"<p class='note'>The nearest images of {escape(dataset)} by the last hidden layer, "
        "with their Euclidean distances.</p>"
        f"<ul class='tiles'>{tiles}</ul>"
    )


def problem_html(message: str) -> str:
    """Return an error message that screen readers announce at once."""
    return f"<p class='problem' role='alert'>{escape(message)}</p>"


def _kernel(kernel: ActiveKernel) -> str:
    """Return the tile of a kernel."""
    heat = matplotlib.colormaps["magma"](kernel.activations)[..., :3]
    height, width, _ = kernel.pixels.shape
    return (
        f"<li>{_image(kernel.pixels, f'kernel {kernel.number}, {width} by {height} pixels')}"
        f"{_image(np.round(255 * heat).astype(np.uint8), f'activations of kernel {kernel.number}')}"
        f"kernel {kernel.number}<br>{kernel.max_activation:.3g}</li>"
    )


def _neighbor(pixels: np.ndarray, neighbor: Neighbor) -> str:
    """Return the tile of a similar image."""
    name, distance = short_name(neighbor), f"{neighbor.distance:.2f}"
    alt = f"{name}, at distance {distance}: {neighbor.name}"
    tile = f"<li>{_image(pixels, alt)}{escape(name)}<br>{distance}</li>"
    return tile.encode(errors="backslashreplace").decode()  # a file name need not be UTF-8


def _image(pixels: np.ndarray, alt: str) -> str:
    """Return an image element."""
    sharp = " class='sharp'" if is_small(pixels) else ""
    return f"<img{sharp} src='{image_uri(pixels)}' alt='{escape(alt, quote=True)}'>"
