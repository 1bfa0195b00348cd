"""Loss, errors and rate over the epochs."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.figure import new_figure, style_axes, style_legend
from alexnet_tf.figures.theme import LIGHT, Theme
from alexnet_tf.run_record import EpochRecord


def draw_curves(
    history: Sequence[EpochRecord], title: str | None = None, theme: Theme = LIGHT
) -> Figure:
    """Draws the history of a run.

    Args:
      history: A record per epoch.
      title: Over the picture, or None.
      theme: The colors.
    """
    training, validation, top5 = theme.series[:3]
    figure = new_figure(12, 3.8, theme, layout=None)
    loss, error, rate = figure.subplots(1, 3)
    # Fixed margins: working them out takes matplotlib half a second.
    figure.subplots_adjust(left=0.06, right=0.985, bottom=0.14, top=0.83, wspace=0.22)

    def line(axes: Axes, name: str, label: str, color: str, style: str = "-") -> None:
        """Draws a number over the epochs that have it."""
        points = [
            (record.epoch, value)
            for record in history
            if (value := getattr(record, name)) is not None
        ]
        percent = 100 if "error" in name else 1
        if points:
            x, y = zip(*points, strict=True)
            values = [percent * value for value in y]
            axes.plot(x, values, style, marker="o", markersize=3, color=color, label=label)

    for axes in (loss, error, rate):
        style_axes(axes, theme, "both")
    line(loss, "training_loss", "training", training)
    line(loss, "validation_loss", "validation", validation, "--")
    loss.set(title="loss", ylabel="cross-entropy (nats)")
    line(error, "training_top1_error", "training top-1", training)
    line(error, "validation_top1_error", "validation top-1", validation, "--")
    line(error, "validation_top5_error", "validation top-5", top5, ":")
    error.set(title="error", ylabel="%")
    error.set_ylim(bottom=0)
    line(rate, "learning_rate", "learning rate", training)
    rate.set(title="learning rate", yscale="log")
    for axes in (loss, error, rate):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    style_legend(loss, theme)
    style_legend(error, theme)
    if title is not None:
        figure.suptitle(title, color=theme.ink, parse_math=False)
    return figure
