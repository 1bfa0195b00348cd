"""What stands beside the shards of a prepared set: index, statistics, report, TFDS's metadata."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from alexnet_tf.data.prepared import INDEX_COLUMNS, MARKER, STATISTICS, VERSION, WORK, recorded_name
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.errors import InputError
from alexnet_tf.files import atomic_path, write_json, write_text
from alexnet_tf.prepare.items import Problem, Source
from alexnet_tf.prepare.report import (
    DUPLICATES,
    PROBLEMS,
    REPORT,
    Parts,
    duplicates_csv,
    make_report,
    problems_csv,
)
from alexnet_tf.prepare.shards import Shard, parts, training_sums


def finish(
    source: Source, shards: list[Shard], folder: Path, wanted: dict[str, Any]
) -> dict[str, Any]:
    """Writes what stands beside the shards; the marker last.

    Args:
      source: What was prepared.
      shards: From `plan`, all written.
      folder: Where they are.
      wanted: What tells this preparation from others: version, source, size, format, name.

    Returns:
      The report.

    Raises:
      InputError: Training images of fewer than two classes can be read; the report is there.
    """
    columns, lengths, problems = _collect(source, shards, folder)
    report = make_report(source, columns, problems, wanted["size"])
    write_json(folder / REPORT, report)
    write_text(folder / PROBLEMS, problems_csv(problems))
    trained_on = len(np.unique(columns["train"]["label"]))
    if trained_on < 2:
        found = "images of one class alone" if trained_on else "no training images"
        raise InputError(
            f"{source.root}: {found} can be read, at least two classes are needed; "
            f"see {folder / PROBLEMS}"
        )
    marker: dict[str, Any] = {
        "version": VERSION,
        "name": source.name,
        "source": str(source.root.absolute()),
        "plan": wanted["source"],
        "plan_values": wanted,
        "size": wanted["size"],
        "format": wanted["format"],
        "class_names": source.class_names,
        "splits": {},
    }
    for split, values in columns.items():
        if not len(values["label"]):
            continue
        with atomic_path(folder / f"index-{split}.npz") as temporary:
            kept = {name: values[name] for name in INDEX_COLUMNS}
            np.savez(temporary, allow_pickle=False, **kept)
        files = [shard.file for shard in shards if shard.split == split]
        marker["splits"][split] = {
            "examples": len(values["label"]),
            "shards": files,
            "shard_bytes": [(folder / file).stat().st_size for file in files],
        }
    _write_statistics(folder, wanted["size"], len(columns["train"]["label"]))
    _write_tfds(source, folder, marker, lengths)

    def name_of(split: str, index: int) -> str:
        values = columns[split]
        file = folder / marker["splits"][split]["shards"][values["shard"][index]]
        return recorded_name(file, values["record_offset"][index], values["record_bytes"][index])

    write_text(folder / DUPLICATES, duplicates_csv(source, columns, name_of))
    write_json(folder / MARKER, marker)
    return report


def _collect(
    source: Source, shards: list[Shard], folder: Path
) -> tuple[Parts, dict[str, list[int]], list[Problem]]:
    """Returns the columns by split, the shards' lengths by split, and all problems."""
    collected: dict[str, list[dict[str, np.ndarray]]] = {split: [] for split in source.splits}
    problems = list(source.problems)
    for shard, part in parts(shards, folder):
        problems += [Problem(shard.split, *row) for row in part.pop("problems")]
        number = len(collected[shard.split])
        part["shard"] = np.full(len(part["label"]), number, np.int32)
        collected[shard.split].append(part)
    columns = {
        split: {name: np.concatenate([part[name] for part in found]) for name in found[0]}
        for split, found in collected.items()
        if found
    }
    lengths = {
        split: [len(part["label"]) for part in found] for split, found in collected.items() if found
    }
    return columns, lengths, sorted(problems)


def _write_statistics(folder: Path, size: int, images: int) -> None:
    """Writes the training images' mean and principal components."""
    pixel_sum, products = training_sums(folder / WORK, size)
    Statistics.from_sums(pixel_sum, products, images).save(folder / STATISTICS)


def _write_tfds(
    source: Source, folder: Path, marker: dict[str, Any], lengths: dict[str, list[int]]
) -> None:
    """Writes what makes the folder one that TFDS reads."""
    shape = (marker["size"], marker["size"], 3)
    image = (
        tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES)
        if marker["format"] == "raw"
        else tfds.features.Image(shape=shape, encoding_format="jpeg")
    )
    features = tfds.features.FeaturesDict(
        {
            "file": tfds.features.Text(),
            "image": image,
            "label": tfds.features.ClassLabel(names=list(source.class_names)),
        }
    )
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    splits = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=lengths[split],
            num_bytes=sum(said["shard_bytes"]),
            filename_template=tfds.core.ShardedFileTemplate(
                dataset_name=source.name,
                data_dir=str(folder),
                split=split,
                filetype_suffix="tfrecord",
                template=template,
            ),
        )
        for split, said in marker["splits"].items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=str(folder),
        features=features,
        split_infos=splits,
        supervised_keys=("image", "label"),
        description=f"{source.name}, rescaled to {marker['size']} pixels by alexnet_tf.",
        check_data=False,
    )
