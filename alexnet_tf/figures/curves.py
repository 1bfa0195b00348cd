"""Loss, errors and learning rate over the epochs."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.canvas import LIGHT, Theme, new_figure, style_axes, style_legend
from alexnet_tf.run_record import EpochRecord


def draw_curves(
    history: Sequence[EpochRecord],
    title: str | None = None,
    theme: Theme = LIGHT,
    *,
    num_classes: int | None = None,
) -> Figure:
    """Draws the history of a run.

    Args:
      history: One record per epoch.
      title: Title of the figure, or None.
      theme: The colors.
      num_classes: Classes of the data set. The top-5 error is skipped for five or fewer, since it
        is always zero. None: unknown, the top-5 error is drawn.
    """
    training, validation, top5 = theme.series[:3]
    figure = new_figure(12, 3.8, theme, layout=None)
    loss, error, rate = figure.subplots(1, 3)
    # Fixed margins: a layout engine takes half a second.
    figure.subplots_adjust(left=0.06, right=0.985, bottom=0.14, top=0.83, wspace=0.22)

    def plot(axes: Axes, field: str, label: str, color: str, style: str = "-") -> None:
        """Plots a field of the records over the epochs that have it, errors in percent."""
        scale = 100 if "error" in field else 1
        points = [
            (record.epoch, scale * value)
            for record in history
            if (value := getattr(record, field)) is not None
        ]
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, style, marker="o", markersize=3, color=color, label=label)

    for axes in (loss, error, rate):
        style_axes(axes, theme, "both")
    plot(loss, "training_loss", "training", training)
    plot(loss, "validation_loss", "validation", validation, "--")
    loss.set(title="loss", ylabel="cross-entropy (nats)")
    plot(error, "training_top1_error", "training top-1", training)
    plot(error, "validation_top1_error", "validation top-1", validation, "--")
    if num_classes is None or num_classes > 5:
        plot(error, "validation_top5_error", "validation top-5", top5, ":")
    error.set(title="error", ylabel="%")
    error.set_ylim(bottom=0)
    plot(rate, "learning_rate", "learning rate", training)
    rate.set(title="learning rate", yscale="log")
    for axes in (loss, error, rate):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    style_legend(loss, theme)
    style_legend(error, theme)
    if title is not None:
        figure.suptitle(title, color=theme.ink, parse_math=False)
    return figure
