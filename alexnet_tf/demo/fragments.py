"""The parts of the page that Gradio has no component for, as HTML with alternative texts."""

from html import escape

import matplotlib
import numpy as np

from alexnet_tf.demo.asking import FiredKernel, Reply
from alexnet_tf.evaluation.similarity import Neighbor
from alexnet_tf.evaluation.similarity_picture import short_name
from alexnet_tf.pictures.encode import image_uri, is_small

STYLE = """
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 0; padding: 0; list-style: none; }
.tiles li { margin: 0; width: 92px; font-size: 12px; line-height: 1.3; overflow-wrap: anywhere; }
.tiles img { display: block; width: 92px; height: 92px; margin-bottom: 4px; }
.tiles img.sharp { image-rendering: pixelated; }
.note { margin: 4px 0 8px; font-size: 13px; }
.problem { margin: 0; padding: 10px 12px; border-left: 4px solid #c0392b; }
"""


def kernels_html(reply: Reply) -> str:
    """Returns the kernels that fired most, each over a map of where it did."""
    tiles = "".join(_kernel(kernel) for kernel in reply.kernels)
    return (
        "<p class='note'>The kernels of conv1 with the largest activations, the largest first; "
        "below each, where in the image it fired: the brighter, the stronger.</p>"
        f"<ul class='tiles'>{tiles}</ul>"
    )


def similar_html(reply: Reply, where: str) -> str:
    """Returns the nearest images.

    Args:
      reply: The reply.
      where: What they were looked for in; "" if nowhere.
    """
    if not where:
        return "<p class='note'>Start the demo with --in DATASET to see similar images here.</p>"
    tiles = "".join(_neighbor(pixels, neighbor) for pixels, neighbor in reply.similar)
    return (
        f"<p class='note'>The nearest images of {escape(where)} by the last hidden layer, "
        "with their Euclidean distances.</p>"
        f"<ul class='tiles'>{tiles}</ul>"
    )


def problem_html(message: str) -> str:
    """Returns a message that screen readers read out at once."""
    return f"<p class='problem' role='alert'>{escape(message)}</p>"


def _kernel(kernel: FiredKernel) -> str:
    """Returns one kernel's tile."""
    heat = matplotlib.colormaps["magma"](kernel.where)[..., :3]
    height, width, _ = kernel.pixels.shape
    return (
        f"<li>{_image(kernel.pixels, f'kernel {kernel.number}, {width} by {height} pixels')}"
        f"{_image(np.round(255 * heat).astype(np.uint8), f'where kernel {kernel.number} fired')}"
        f"kernel {kernel.number}<br>{kernel.activation:.3g}</li>"
    )


def _neighbor(pixels: np.ndarray, neighbor: Neighbor) -> str:
    """Returns one similar image's tile."""
    name, distance = short_name(neighbor), f"{neighbor.distance:.2f}"
    alt = f"{name}, at distance {distance}: {neighbor.name}"
    tile = f"<li>{_image(pixels, alt)}{escape(name)}<br>{distance}</li>"
    return tile.encode(errors="backslashreplace").decode()  # a file's name need not be UTF-8


def _image(pixels: np.ndarray, alt: str) -> str:
    """Returns an image element."""
    sharp = " class='sharp'" if is_small(pixels) else ""
    return f"<img{sharp} src='{image_uri(pixels)}' alt='{escape(alt, quote=True)}'>"
