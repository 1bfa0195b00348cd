"""Whether a network is right as often as it says: the reliability diagram."""

import math

import numpy as np
from matplotlib.figure import Figure

from alexnet_tf.figures.figure import new_figure, style_axes, style_legend
from alexnet_tf.figures.theme import LIGHT, Theme


def draw_calibration(
    edges: np.ndarray,
    counts: np.ndarray,
    confidences: np.ndarray,
    accuracies: np.ndarray,
    expected_error: float,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws accuracy over confidence, and below how many images there are in each bin.

    Args:
      edges: float [bins + 1], 0..1.
      counts: int [bins]: images.
      confidences: float [bins]: their mean confidence; NaN without images.
      accuracies: float [bins]: the share that was right; NaN without images.
      expected_error: Expected calibration error, 0..1, or NaN without images.
      theme: The colors.
    """
    figure = new_figure(5.6, 5.6, theme)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    style_axes(above, theme, "both")
    style_axes(below, theme, "y")
    filled = counts > 0
    left, width = 100 * edges[:-1], 100 * np.diff(edges)
    above.bar(
        left[filled],
        100 * accuracies[filled],
        width[filled],
        align="edge",
        color=theme.series[0],
        edgecolor=theme.background,
        alpha=0.45,
        label="right in this bin",
    )
    above.plot([0, 100], [0, 100], "--", color=theme.muted, label="as often as it says")
    above.plot(
        100 * confidences[filled],
        100 * accuracies[filled],
        "o-",
        color=theme.series[1],
        label="at the mean confidence",
    )
    above.set(xlim=(0, 100), ylim=(0, 100))
    above.set_ylabel("right (%)", color=theme.ink)
    style_legend(above, theme, loc="upper left")
    text = "no images" if math.isnan(expected_error) else f"{100 * expected_error:.2f}%"
    above.set_title(f"expected calibration error {text}", fontsize=10, color=theme.ink)
    below.bar(left, counts, width, align="edge", color=theme.muted, edgecolor=theme.background)
    below.set_ylabel("images", color=theme.ink)
    below.set_xlabel("confidence: probability of the class that came first (%)", color=theme.ink)
    return figure
