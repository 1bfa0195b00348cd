"""curves.png: loss, errors and rate over the epochs."""

from pathlib import Path
from typing import Any

from alexnet_tf.files import atomic_path

_TRAINING, _VALIDATION, _TOP5 = "#0072B2", "#D55E00", "#009E73"  # Okabe and Ito: colour-blind safe


def draw_curves(history: list[dict[str, Any]], path: Path, title: str) -> None:
    """Draws the history of a run.

    Args:
      history: Records as in history.jsonl, one an epoch.
      path: PNG file, written whole or not at all.
      title: Over the picture.
    """
    from matplotlib.figure import Figure

    epochs = [record["epoch"] for record in history]
    figure = Figure(figsize=(12, 3.8))
    loss, error, rate = figure.subplots(1, 3)
    # Fixed margins: working them out takes matplotlib half a second.
    figure.subplots_adjust(left=0.06, right=0.985, bottom=0.14, top=0.83, wspace=0.22)

    def line(axes: Any, key: str, label: str, color: str, style: str = "-") -> None:
        points = [(e, r[key]) for e, r in zip(epochs, history, strict=True) if r[key] is not None]
        if points:
            percent = 100 if "error" in key else 1
            axes.plot(
                [x for x, _ in points],
                [y * percent for _, y in points],
                style,
                marker="o",
                markersize=3,
                color=color,
                label=label,
            )

    line(loss, "training_loss", "training", _TRAINING)
    line(loss, "validation_loss", "validation", _VALIDATION)
    loss.set(title="loss", ylabel="cross-entropy (nats)")
    line(error, "training_top1_error", "training top-1", _TRAINING)
    line(error, "validation_top1_error", "validation top-1", _VALIDATION)
    line(error, "validation_top5_error", "validation top-5", _TOP5, "--")
    error.set(title="error", ylabel="%")
    error.set_ylim(bottom=0)
    line(rate, "learning_rate", "learning rate", _TRAINING)
    rate.set(title="learning rate", yscale="log")
    for axes in (loss, error, rate):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    loss.legend()
    error.legend()
    figure.suptitle(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")
