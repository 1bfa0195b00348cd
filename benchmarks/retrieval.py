"""Precision at ten of image retrieval: how many of the nearest images are of the query's class.

Images are compared by the features of the last hidden layer, by Euclidean and cosine distance, and
as a baseline by their pixels (Euclidean). Chance is the precision of images drawn at random.
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


def precision(labels: np.ndarray, nearest: np.ndarray, query_labels: np.ndarray) -> float:
    """Returns the mean fraction of the nearest images that are of the query's class.

    Args:
      labels: int [n], labels of the indexed images.
      nearest: int [q, k], indices of the nearest images.
      query_labels: int [q].
    """
    return float((labels[nearest] == query_labels[:, None]).mean())


def chance(labels: np.ndarray, query_labels: np.ndarray) -> float:
    """Returns the precision of images drawn at random."""
    classes = max(labels.max(), query_labels.max()) + 1
    frequencies = [np.bincount(x, minlength=classes) / len(x) for x in (labels, query_labels)]
    return float(frequencies[0] @ frequencies[1])


def measure(
    run: Path, indexed: str, queries: str, limit: int | None, data_dir: str | None
) -> dict[str, Any]:
    """Returns the precisions and what was measured."""
    from alexnet_tf.console import ProgressReporter
    from alexnet_tf.evaluation.features import FeatureExtractor, open_index
    from alexnet_tf.evaluation.similarity import DISTANCES, nearest_rows
    from alexnet_tf.model.persistence import load_model

    options = read_run(run).options
    path = model_file(run)
    extractor = FeatureExtractor(load_model(path))
    with ProgressReporter().progress("computing features") as on_progress:
        index, query_index = (
            open_index(
                path,
                options.dataset,
                extractor=extractor,
                data_dir=data_dir or options.data_dir,
                split=split,
                on_progress=on_progress,
            )
            for split in (indexed, queries)
        )
    chosen = np.arange(len(query_index))
    if limit is not None and limit < len(query_index):
        chosen = np.sort(np.random.default_rng(0).permutation(len(query_index))[:limit])
    labels, query_labels = index.examples.labels, query_index.examples.labels[chosen]
    # Within one split every image is its own nearest, which does not count.
    own = chosen if indexed == queries else None
    found = {}
    for distance in DISTANCES:
        features = np.asarray(query_index.features[chosen])
        rows, _ = nearest_rows(index.features, features, _TOP + (own is not None), distance)
        found[distance] = precision(labels, _without(rows, own), query_labels)
    pixels = _pixels(index.examples)
    same = own is not None
    query_pixels = pixels[chosen] if same else _pixels(query_index.examples, chosen)
    rows, _ = nearest_rows(pixels, query_pixels, _TOP + (own is not None))
    found["pixels"] = precision(labels, _without(rows, own), query_labels)
    return {
        "model": str(path),
        "dataset": options.dataset,
        "indexed_split": indexed,
        "indexed_images": len(index),
        "query_split": queries,
        "queries": len(chosen),
        "nearest": _TOP,
        "chance": chance(labels, query_labels),
        "precision": found,
    }


def _without(rows: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """Returns the nearest images except the query itself, [q, 10]."""
    if own is None:
        return rows
    kept = [row[row != number][:_TOP] for row, number in zip(rows, own, strict=True)]
    return np.stack(kept)


def _pixels(examples, chosen: np.ndarray | None = None) -> np.ndarray:  # noqa: ANN001
    """Returns the pixels of images as float32 [n, 32 * 32 * c]."""
    from alexnet_tf.data.pipeline import evaluation_batches

    part = examples if chosen is None else examples.subset(chosen)
    batches = evaluation_batches(part, _PIXELS, min(256, len(part)))
    flat = [batch["image"].numpy().reshape(len(batch["image"]), -1) for batch in batches]
    return np.concatenate(flat)[: len(part)].astype(np.float32)


@click.command(help=__doc__)
@click.option("--run", help="The run.  [default: the newest]")
@click.option("--in", "indexed", default="train", help="Split to search.", show_default=True)
@click.option("--queries", default="test", help="Split of the queries.", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Number of queries, drawn by seed 0.")
@click.option("--data-dir", help="Folder of prepared TFDS data sets.  [default: the run's own]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    run: str | None,
    indexed: str,
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
        found = measure(folder, indexed, queries, limit, data_dir)
    except InputError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        print(json.dumps(found))
        return
    print(
        f"{found['queries']:,} {queries} images, the {_TOP} nearest of {found['indexed_images']:,} "
        f"{indexed} images"
    )
    print(f"chance       {found['chance']:.1%}")
    for name, value in found["precision"].items():
        print(f"{name:<12} {value:.1%}")


if __name__ == "__main__":
    main()
