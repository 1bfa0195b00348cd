"""Are the nearest images of the same class? Precision among the ten nearest, beside chance.

Each query's nearest images are looked for by the features of the last hidden layer, by Euclidean
and cosine distance, and by the pixels alone (Euclidean): what a network must be better than.
Chance is the share of pairs of the same class if the nearest were drawn at random.
"""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from alexnet_tf.errors import InputError
from alexnet_tf.runs import model_file, newest_run, read_run

_TOP = 10
_PIXELS = 32  # side that images are compared at by their pixels


def precision(labels: np.ndarray, nearest: np.ndarray, asked: np.ndarray) -> float:
    """Returns the mean share of the nearest that are of the query's class.

    Args:
      labels: int [n], of the images looked in.
      nearest: int [q, k], numbers of the nearest.
      asked: int [q], the queries' labels.
    """
    return float((labels[nearest] == asked[:, None]).mean())


def chance(labels: np.ndarray, asked: np.ndarray) -> float:
    """Returns the precision of images drawn at random."""
    classes = max(labels.max(), asked.max()) + 1
    shares = [np.bincount(x, minlength=classes) / len(x) for x in (labels, asked)]
    return float(shares[0] @ shares[1])


def measure(
    run: Path, look_in: str, queries: str, limit: int | None, data_dir: str | None
) -> dict[str, Any]:
    """Returns what was found, with what it was found on."""
    from alexnet_tf.console import ProgressReporter
    from alexnet_tf.evaluation.features import FeatureExtractor, open_index
    from alexnet_tf.evaluation.similarity import DISTANCES, nearest_rows
    from alexnet_tf.model.persistence import load_model

    options = read_run(run)["options"]
    path = model_file(run)
    extractor = FeatureExtractor(load_model(path))
    with ProgressReporter().progress("computing features") as on_progress:
        index, asked = (
            open_index(
                path,
                options["dataset"],
                extractor=extractor,
                data_dir=data_dir or options["data_dir"],
                split=split,
                on_progress=on_progress,
            )
            for split in (look_in, queries)
        )
    chosen = np.arange(len(asked))
    if limit is not None and limit < len(asked):
        chosen = np.sort(np.random.default_rng(0).permutation(len(asked))[:limit])
    labels, wanted = index.examples.labels, asked.examples.labels[chosen]
    # An image looked for among its like is its own nearest, and does not count.
    own = chosen if look_in == queries else None
    found = {}
    for distance in DISTANCES:
        features = np.asarray(asked.features[chosen])
        rows, _ = nearest_rows(index.features, features, _TOP + (own is not None), distance)
        found[distance] = precision(labels, _without(rows, own), wanted)
    pixels = _pixels(index.examples)
    asked_pixels = pixels[chosen] if own is not None else _pixels(asked.examples, chosen)
    rows, _ = nearest_rows(pixels, asked_pixels, _TOP + (own is not None))
    found["pixels"] = precision(labels, _without(rows, own), wanted)
    return {
        "model": str(path),
        "dataset": options["dataset"],
        "in": look_in,
        "images": len(index),
        "queries": queries,
        "asked": len(chosen),
        "nearest": _TOP,
        "chance": chance(labels, wanted),
        "precision": found,
    }


def _without(rows: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """Returns the nearest without the query itself, [q, 10]."""
    if own is None:
        return rows
    kept = [row[row != number][:_TOP] for row, number in zip(rows, own, strict=True)]
    return np.stack(kept)


def _pixels(examples, chosen: np.ndarray | None = None) -> np.ndarray:  # noqa: ANN001
    """Returns images as rows of numbers: float32 [n, 32 * 32 * c]."""
    from alexnet_tf.data.pipeline import evaluation_batches

    part = examples if chosen is None else examples.subset(chosen)
    batches = evaluation_batches(part, _PIXELS, min(256, len(part)))
    flat = [batch["image"].numpy().reshape(len(batch["image"]), -1) for batch in batches]
    return np.concatenate(flat)[: len(part)].astype(np.float32)


@click.command(help=__doc__)
@click.option("--run", help="The run.  [default: the newest]")
@click.option("--in", "look_in", default="train", help="Split looked in.", show_default=True)
@click.option(
    "--queries", default="test", help="Split of the images asked about.", show_default=True
)
@click.option("--limit", type=click.IntRange(min=1), help="Ask about so many, drawn by seed 0.")
@click.option("--data-dir", help="Folder of prepared TFDS data sets.  [default: the run's own]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    run: str | None,
    look_in: str,
    queries: str,
    limit: int | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Measures and prints."""
    from alexnet_tf.system import import_tensorflow

    try:
        folder = Path(run) if run else newest_run()
        read_run(folder)
        import_tensorflow()
        found = measure(folder, look_in, queries, limit, data_dir)
    except InputError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        print(json.dumps(found))
        return
    print(
        f"{found['asked']:,} {queries} images, {_TOP} nearest among {found['images']:,} {look_in}"
    )
    print(f"chance       {found['chance']:.1%}")
    for name, value in found["precision"].items():
        print(f"{name:<12} {value:.1%}")


if __name__ == "__main__":
    main()
