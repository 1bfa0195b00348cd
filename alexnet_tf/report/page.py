"""The HTML page of a report: the values of its template."""

import datetime
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from alexnet_tf import __version__
from alexnet_tf.evaluation.error_analysis import worst_confusions
from alexnet_tf.evaluation.metrics import TOP_K, Errors, wilson_interval
from alexnet_tf.figures.canvas import DARK, LIGHT, image_uri, is_small
from alexnet_tf.figures.kernels import kernel_grid
from alexnet_tf.figures.tiles import Tile
from alexnet_tf.report.data import ReportData
from alexnet_tf.report.figures import make_tiles, mistakes, unsure
from alexnet_tf.run_record import RunRecord
from alexnet_tf.system import command_name

_CONFUSIONS = 10  # rows of the table
_BAND_KERNELS = 24  # across the top of the page


class Chart(NamedTuple):
    """A figure of the page in both themes.

    Attributes:
      light: PNG as a data URI.
      dark: PNG of the same size as a data URI.
      width: In pixels.
      height: In pixels.
      alt: Alternative text.
    """

    light: str
    dark: str
    width: int
    height: int
    alt: str


def render_page(data: ReportData, charts: Mapping[str, Chart]) -> str:
    """Returns the report as one HTML page that needs no other file.

    Args:
      data: The data of the report.
      charts: The figures by name.
    """
    environment = Environment(
        loader=PackageLoader("alexnet_tf.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    return template.render(_values(data, charts))


def _values(data: ReportData, charts: Mapping[str, Chart]) -> dict[str, Any]:
    """Returns the variables of the template."""
    evaluation, record = data.evaluation, data.record
    crops = [("Center crop", evaluation.center_crop), ("Ten crops", evaluation.ten_crop)]
    return {
        "light": LIGHT,
        "dark": DARK,
        "version": __version__,
        "title": f"{record.recipe.name} on {Path(evaluation.dataset).name}",
        "model": evaluation.model,
        "split": evaluation.split,
        "images": evaluation.center_crop.examples,
        "skipped": [name for name, _ in evaluation.skipped],
        "classes": len(data.class_names),
        "top_k": TOP_K,
        "settings": settings_rows(record, len(data.history)),
        "errors": [_errors(name, found) for name, found in crops if found is not None],
        "calibration_error": _percent(data.calibration.expected_error),
        "charts": charts,
        "rows": _class_rows(data),
        "pairs": _pairs(data),
        "mistakes": _cards(data, mistakes(data)),
        "unsure": _cards(data, unsure(data)),
        "similar": _similar(data),
        "activations": _activations(data),
        "projection": data.projection,
        "band": _band(data),
        "evaluation": _script_json(evaluation.to_json()),
        "program": command_name(),
        "command": _command(data),
    }


def _command(data: ReportData) -> str:
    """Returns the command that prints the numbers of the page."""
    words = ["--run", str(data.run), "--split", data.evaluation.split]
    if data.evaluation.ten_crop is not None:
        words.append("--ten-crop")
    return f"{command_name()} {shlex.join(['evaluate', *words, '--json'])}"


def _percent(ratio: float) -> str:
    """Returns 0.2239 as "22.39%", and NaN as a dash."""
    return "–" if math.isnan(ratio) else f"{ratio:.2%}"


def _errors(name: str, found: Errors) -> dict[str, Any]:
    """Returns the errors of one kind of crops as texts."""
    return {
        "name": name,
        "examples": found.examples,
        "loss": f"{found.loss:.4f}",
        "figures": [
            {
                "name": figure,
                "error": _percent(errors / found.examples),
                "count": errors,
                "low": _percent(interval[0]),
                "high": _percent(interval[1]),
            }
            for figure, errors, interval in (
                ("top-1", found.top1_errors, found.top1_interval),
                ("top-5", found.top5_errors, found.top5_interval),
            )
        ],
    }


def _class_rows(data: ReportData) -> list[dict[str, Any]]:
    """Returns a row for each class with images, in descending order of error."""
    found, names = data.class_errors, data.class_names
    most_frequent: dict[int, str] = {}
    for pair in worst_confusions(data.predictions, len(data.predictions)):
        most_frequent.setdefault(pair.label, f"{names[pair.predicted]} ({pair.count:,})")
    rows = []
    for label in found.worst_first.tolist():
        examples, wrong = int(found.examples[label]), int(found.top1_errors[label])
        low, high = wilson_interval(wrong, examples)
        rows.append(
            {
                "name": names[label],
                "examples": examples,
                "count": wrong,
                "error": _percent(wrong / examples),
                "percent": f"{100 * wrong / examples:.2f}",
                "between": f"{low:.1%} to {high:.1%}",
                "top5": _percent(int(found.top5_errors[label]) / examples),
                "predicted_as": most_frequent.get(label, ""),
            }
        )
    return rows


def _pairs(data: ReportData) -> list[dict[str, Any]]:
    """Returns the most frequent confusions."""
    names = data.class_names
    return [
        {
            "label": names[pair.label],
            "predicted": names[pair.predicted],
            "count": pair.count,
            "examples": pair.examples,
            "percent": _percent(pair.count / pair.examples),
        }
        for pair in worst_confusions(data.predictions, _CONFUSIONS)
    ]


def _cards(data: ReportData, indices: np.ndarray) -> list[dict[str, Any]]:
    """Returns images of the split with bars, with names that need not be drawn by matplotlib."""
    return [_card(tile) for tile in make_tiles(data, indices, data.class_names)]


def _card(tile: Tile) -> dict[str, Any]:
    """Returns an image with its bars."""
    first = tile.names[0]
    verdict = f"correctly predicted as {first}" if tile.label_rank == 0 else f"predicted as {first}"
    return {
        "image": _image(tile.pixels, f"{tile.title}, {verdict}"),
        "label": tile.title,
        "bars": _bars(tile.names, tile.probabilities, tile.label_rank),
    }


def _bars(
    names: Sequence[str], probabilities: Sequence[float], label_rank: int | None
) -> list[dict[str, Any]]:
    """Returns bars; that of the true class is "right", another first one "wrong"."""
    return [
        {
            "name": name,
            "probability": f"{value:.1%}",
            "percent": f"{100 * value:.1f}",
            "kind": "right" if rank == label_rank else "wrong" if rank == 0 else "other",
        }
        for rank, (name, value) in enumerate(zip(names, probabilities, strict=True))
    ]


def _image(pixels: np.ndarray, alt: str) -> dict[str, Any]:
    return {
        "uri": image_uri(pixels),
        "alt": alt,
        "small": is_small(pixels),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
    }


def _similar(data: ReportData) -> dict[str, Any] | None:
    """Returns images with their nearest training images; None without training images."""
    found, names = data.neighbors, data.class_names
    if found is None:
        return None
    rows = []
    for i, label in enumerate(found.query_labels.tolist()):
        near = [
            {
                "image": _image(pixels, f"training image: {names[other]}"),
                "label": names[other],
                "same": other == label,
                "distance": f"{distance:.3g}",
            }
            for pixels, other, distance in zip(
                found.images[i], found.labels[i].tolist(), found.distances[i].tolist(), strict=True
            )
        ]
        query = _image(found.queries[i], names[label])
        rows.append({"image": query, "label": names[label], "near": near})
    return {"rows": rows, "searched": found.searched, "training": found.training}


def _activations(data: ReportData) -> dict[str, Any]:
    """Returns the image of the activations and its prediction."""
    found = data.activations
    return {
        "name": found.name,
        "predicted": data.class_names[int(found.classes[0])],
        "probability": _percent(float(found.probabilities[0])),
    }


def _band(data: ReportData) -> str:
    """Returns trained kernels in a row, as the band across the top."""
    kernels = data.kernels.after[..., :_BAND_KERNELS]
    image = kernel_grid(kernels, columns=kernels.shape[-1])[1:-1, 1:]
    return image_uri(np.round(255 * image).astype(np.uint8))


def _script_json(values: Any) -> str:
    """Returns JSON for a script element, escaped so that no text can end the element."""
    text = json.dumps(values, ensure_ascii=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def settings_rows(record: RunRecord, epochs: int) -> list[tuple[str, str]]:
    """Returns the names and values of the table of settings.

    Args:
      record: The record of the run.
      epochs: Number of finished epochs.
    """
    recipe, dataset = record.recipe, record.dataset
    network, size = recipe.network, recipe.network.input_size
    changed = ", ".join(f"{name} {value}" for name, value in record.options.overrides().items())
    minutes = round(record.seconds or 0) // 60
    duration = f"{minutes // 60} h {minutes % 60} min"
    if minutes < 60:
        duration = f"{minutes} min {round(record.seconds or 0) % 60} s"
    started = datetime.datetime.fromisoformat(record.started)
    versions = record.versions
    rows = [
        ("Recipe", recipe.name + (f", with {changed}" if changed else "")),
        ("Network", f"{size} × {size} {'RGB' if network.channels == 3 else 'gray'} input"),
        ("Parameters", f"{record.parameters:,}"),
        ("Data set", f"{dataset.name}, {len(record.class_names):,} classes"),
        ("Training images", f"{dataset.train_examples:,}"),
        ("Epochs", f"{epochs} of {record.epochs}"),
        ("Batch size", f"{recipe.batch_size:,}"),
        ("Learning rate", f"{recipe.learning_rate:g}, {recipe.schedule.kind}"),
        ("Momentum", f"{recipe.momentum:g}"),
        ("Weight decay", f"{recipe.weight_decay:g}"),
        ("Initialization", recipe.init),
        ("Dropout", f"{network.dropout:g}"),
        ("Seed", str(record.seed)),
        ("Precision", record.precision),
        ("Device", ", ".join(record.devices)),
        ("Started", f"{started.day} {started:%B %Y, %H:%M}"),
        ("Duration", duration if record.seconds else ""),
        ("Software", f"TensorFlow {versions['tensorflow']}, Keras {versions['keras']}"),
    ]
    return [(name, value) for name, value in rows if value]
