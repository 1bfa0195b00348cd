"""The HTML page: what stands in it, and the template that lays it out."""

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
from alexnet_tf.figures.encode import data_uri, image_uri, is_small, json_for_script
from alexnet_tf.figures.kernels import mosaic
from alexnet_tf.figures.theme import DARK, LIGHT
from alexnet_tf.figures.tiles import Tile
from alexnet_tf.report.facts import facts
from alexnet_tf.report.material import Material
from alexnet_tf.report.pictures import mistakes, tiles, unsure
from alexnet_tf.system import command_name

_PAIRS = 10  # of confused classes, in words
_BAND = 24  # kernels across the top of the page


class Chart(NamedTuple):
    """A picture of the page, on white and dark.

    Attributes:
      light: PNG bytes.
      dark: PNG bytes, of the same size.
      width: In pixels.
      height: In pixels.
      alt: What it shows.
    """

    light: bytes
    dark: bytes
    width: int
    height: int
    alt: str


def render_page(material: Material, charts: Mapping[str, Chart]) -> str:
    """Returns the report as one HTML file that refers to no other.

    Args:
      material: Of the run.
      charts: The pictures by name, as far as there are any.
    """
    environment = Environment(
        loader=PackageLoader("alexnet_tf.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    return template.render(_values(material, charts))


def _values(material: Material, charts: Mapping[str, Chart]) -> dict[str, Any]:
    """Returns what the template asks for."""
    evaluation, record = material.evaluation, material.record
    ways = [("Center crop", evaluation.center_crop), ("Ten crops", evaluation.ten_crop)]
    return {
        "light": LIGHT,
        "dark": DARK,
        "version": __version__,
        "title": f"{record.recipe.name} on {Path(evaluation.dataset).name}",
        "model": evaluation.model,
        "split": evaluation.split,
        "images": evaluation.center_crop.examples,
        "left_out": [name for name, _ in evaluation.left_out],
        "classes": len(material.class_names),
        "top_k": TOP_K,
        "facts": facts(record, len(material.history)),
        "errors": [_errors(name, found) for name, found in ways if found is not None],
        "calibration_error": _percent(material.calibration.expected_error),
        "charts": {name: _chart(chart) for name, chart in charts.items()},
        "rows": _class_rows(material),
        "pairs": _pairs(material),
        "mistakes": _cards(material, mistakes(material)),
        "unsure": _cards(material, unsure(material)),
        "similar": _similar(material),
        "seen": _seen(material),
        "plane": material.plane,
        "band": _band(material),
        "evaluation": json_for_script(evaluation.to_json()),
        "command": _command(material),
    }


def _command(material: Material) -> str:
    """Returns what prints the page's numbers."""
    words = ["--run", str(material.run), "--split", material.evaluation.split]
    if material.evaluation.ten_crop is not None:
        words.append("--ten-crop")
    return f"{command_name()} {shlex.join(['evaluate', *words, '--json'])}"


def _percent(share: float) -> str:
    """Returns 0.2239 as "22.39%", and a dash for no number."""
    return "–" if math.isnan(share) else f"{share:.2%}"


def _errors(name: str, found: Errors) -> dict[str, Any]:
    """Returns the errors of one way of cropping, as texts and as places on a scale."""
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


def _chart(chart: Chart) -> dict[str, Any]:
    return {
        "light": data_uri(chart.light, "image/png"),
        "dark": data_uri(chart.dark, "image/png"),
        "width": chart.width,
        "height": chart.height,
        "alt": chart.alt,
    }


def _class_rows(material: Material) -> list[dict[str, Any]]:
    """Returns a row for each class with images, the worst first."""
    found, names = material.class_errors, material.class_names
    commonest: dict[int, str] = {}
    for pair in worst_confusions(material.answers, len(material.answers)):
        commonest.setdefault(pair.label, f"{names[pair.predicted]} ({pair.count:,})")
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
                "share": f"{100 * wrong / examples:.2f}",
                "between": f"{low:.1%} to {high:.1%}",
                "top5": _percent(int(found.top5_errors[label]) / examples),
                "taken_for": commonest.get(label, ""),
            }
        )
    return rows


def _pairs(material: Material) -> list[dict[str, Any]]:
    """Returns the worst confusions in words."""
    names = material.class_names
    return [
        {
            "label": names[pair.label],
            "predicted": names[pair.predicted],
            "count": pair.count,
            "examples": pair.examples,
            "share": _percent(pair.count / pair.examples),
        }
        for pair in worst_confusions(material.answers, _PAIRS)
    ]


def _cards(material: Material, numbers: np.ndarray) -> list[dict[str, Any]]:
    """Returns images of the split by number; a browser has letters that a picture may lack."""
    return [_card(tile) for tile in tiles(material, numbers, material.class_names)]


def _card(tile: Tile) -> dict[str, Any]:
    """Returns an image with its bars."""
    first = tile.names[0]
    said = f"recognized as {first}" if tile.right == 0 else f"taken for {first}"
    return {
        "image": _image(tile.pixels, f"{tile.title}, {said}"),
        "label": tile.title,
        "bars": _bars(tile.names, tile.probabilities, tile.right),
    }


def _bars(
    names: Sequence[str], probabilities: Sequence[float], right: int | None
) -> list[dict[str, Any]]:
    """Returns bars: the true class's is right, another that came first is wrong."""
    return [
        {
            "name": name,
            "probability": f"{value:.1%}",
            "share": f"{100 * value:.1f}",
            "kind": "right" if place == right else "wrong" if place == 0 else "other",
        }
        for place, (name, value) in enumerate(zip(names, probabilities, strict=True))
    ]


def _image(pixels: np.ndarray, alt: str) -> dict[str, Any]:
    return {
        "uri": image_uri(pixels),
        "alt": alt,
        "small": is_small(pixels),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
    }


def _similar(material: Material) -> dict[str, Any] | None:
    """Returns the rows of the nearest training images, None where there are none."""
    found, names = material.neighbors, material.class_names
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


def _seen(material: Material) -> dict[str, Any]:
    """Returns the image of the activations, with what it was taken for."""
    seen = material.seen
    names = [material.class_names[i] for i in seen.classes.tolist()]
    return {
        "name": seen.name,
        "said": names[0],
        "probability": _percent(float(seen.probabilities[0])),
    }


def _band(material: Material) -> str:
    """Returns some of the trained kernels in a row, to stand across the top."""
    kernels = material.kernels.after[..., :_BAND]
    image = mosaic(kernels, columns=kernels.shape[-1])[1:-1, 1:]
    return image_uri(np.round(255 * image).astype(np.uint8))
