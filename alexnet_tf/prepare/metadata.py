"""Write the files beside the shards: report, index, statistics, TFDS's metadata, marker."""

import collections
import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from alexnet_tf.data.prepared_set import (
    INDEX_COLUMNS,
    MARKER,
    STATISTICS,
    VERSION,
    WORK,
    recorded_name,
)
from alexnet_tf.data.statistics import Statistics, spread
from alexnet_tf.errors import InputError
from alexnet_tf.files import atomic_path, write_json, write_text
from alexnet_tf.prepare.shards import Plan, Shard, read_arrays
from alexnet_tf.prepare.source import SKIPPED, Problem, Source
from alexnet_tf.prepare.workers import PixelSums

REPORT, PROBLEMS, DUPLICATES = "report.json", "problems.csv", "duplicates.csv"

# By split, the columns of its index: label, size, kind, digest, shard ...
_Columns = dict[str, dict[str, np.ndarray]]
_Groups = list[list[tuple[str, int]]]  # of equal images, by split and index


def write_metadata(
    source: Source, shards: list[Shard], sums: PixelSums, plan: Plan, folder: Path
) -> dict[str, Any]:
    """Writes the files beside the written shards, the marker last, and returns the report.

    Raises:
      InputError: The training images that can be read have fewer than two classes. The report was
        written.
    """
    columns, problems = _collect(source, shards, folder)
    duplicates = _duplicates(columns)
    report = _report(source, columns, problems, duplicates, plan.size)
    write_json(folder / REPORT, report)
    write_text(folder / PROBLEMS, _csv_text(Problem._fields, problems))
    labels = columns["train"]["label"]
    classes = len(np.unique(labels))
    if classes < 2:
        found = "images of only one class" if classes else "no training images"
        raise InputError(
            f"{source.root}: {found} can be read, at least two classes are needed; "
            f"see {folder / PROBLEMS}"
        )
    splits = _write_indices(columns, shards, folder)
    statistics = Statistics.from_sums(sums.pixels, sums.products, len(labels))
    statistics.save(folder / STATISTICS)
    _write_tfds_metadata(source, plan, folder, splits, columns)
    write_text(folder / DUPLICATES, _duplicates_csv(source, columns, duplicates, folder, splits))
    marker = {
        "version": VERSION,
        "name": source.name,
        "source": str(source.root.absolute()),
        "plan": plan.source,
        "plan_values": dataclasses.asdict(plan),
        "size": plan.size,
        "format": plan.format,
        "class_names": source.class_names,
        "splits": splits,
    }
    write_json(folder / MARKER, marker)
    return report


def _collect(source: Source, shards: list[Shard], folder: Path) -> tuple[_Columns, list[Problem]]:
    """Returns the concatenated indices of each split's shards, and all problems, sorted."""
    indices: dict[str, list[dict[str, np.ndarray]]] = collections.defaultdict(list)
    problems = list(source.problems)
    for shard in shards:
        index = read_arrays(folder / WORK / shard.index_file)
        rows = json.loads(index.pop("problems").tobytes())
        problems += [Problem(shard.split, *row) for row in rows]
        index["shard"] = np.full(len(index["label"]), len(indices[shard.split]), np.int32)
        indices[shard.split].append(index)
    columns = {
        split: {name: np.concatenate([index[name] for index in found]) for name in found[0]}
        for split, found in indices.items()
    }
    return columns, sorted(problems)


def _write_indices(columns: _Columns, shards: list[Shard], folder: Path) -> dict[str, Any]:
    """Writes `index-<split>.npz` of each split; returns the marker's entries of the splits."""
    splits = {}
    for split, values in columns.items():
        if not len(values["label"]):
            continue
        with atomic_path(folder / f"index-{split}.npz") as temporary:
            index = {name: values[name] for name in INDEX_COLUMNS}
            np.savez(temporary, allow_pickle=False, **index)
        files = [shard.file for shard in shards if shard.split == split]
        splits[split] = {
            "examples": len(values["label"]),
            "shards": files,
            "shard_bytes": [(folder / file).stat().st_size for file in files],
        }
    return splits


def _report(
    source: Source, columns: _Columns, problems: Iterable[Problem], groups: _Groups, size: int
) -> dict[str, Any]:
    """Returns the content of report.json."""
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    skipped: collections.Counter[str] = collections.Counter()
    for problem in problems:
        # Without what differs from file to file.
        counts[re.split(r"[:(]", problem.problem)[0].strip(), problem.action] += 1
        skipped[problem.split] += problem.action == SKIPPED
    splits = {}
    for split, values in columns.items():
        images = np.bincount(values["label"], minlength=len(source.class_names)).tolist()
        splits[split] = {
            "images": len(values["label"]),
            "skipped": skipped.pop(split, 0),
            "per_class": dict(zip(source.class_names, images, strict=True)),
            "width": spread(values["size"][:, 0]),
            "height": spread(values["size"][:, 1]),
            "enlarged": int((values["size"].min(axis=1) < size).sum()),
            "kinds": dict(sorted(collections.Counter(values["kind"].tolist()).items())),
        }
    return {
        "splits": splits,
        "files_in_no_split": sum(skipped.values()),
        "problems": [
            {"problem": problem, "action": action, "files": files}
            for (problem, action), files in counts.most_common()
        ],
        "duplicates": {
            "groups": len(groups),
            "superfluous_images": sum(len(group) - 1 for group in groups),
            "groups_across_splits": sum(len({split for split, _ in group}) > 1 for group in groups),
            "groups_across_classes": sum(
                len({columns[split]["label"][i] for split, i in group}) > 1 for group in groups
            ),
        },
    }


def _duplicates(columns: _Columns) -> _Groups:
    """Returns the groups of equal images."""
    examples = [
        (split, i) for split, values in columns.items() for i in range(len(values["label"]))
    ]
    digests = np.concatenate([values["digest"] for values in columns.values()])
    _, inverse, counts = np.unique(digests, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.ravel()
    groups: dict[int, list[tuple[str, int]]] = collections.defaultdict(list)
    for i in np.flatnonzero(counts[inverse] > 1).tolist():
        groups[int(inverse[i])].append(examples[i])
    return list(groups.values())


def _duplicates_csv(
    source: Source, columns: _Columns, groups: _Groups, folder: Path, splits: dict[str, Any]
) -> str:
    """Returns the table of images that occur more than once, group by group."""
    rows = []
    for number, group in enumerate(groups):
        for split, i in group:
            row = {name: values[i] for name, values in columns[split].items()}
            shard = folder / splits[split]["shards"][row["shard"]]
            name = recorded_name(shard, row["record_offset"], row["record_bytes"])
            rows.append((number, split, source.class_names[row["label"]], name))
    return _csv_text(("group", "split", "class", "file"), rows)


def _csv_text(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Returns a table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _write_tfds_metadata(
    source: Source, plan: Plan, folder: Path, splits: dict[str, Any], columns: _Columns
) -> None:
    """Writes the files from which `tfds.builder_from_directory` reads the set."""
    shape = (plan.size, plan.size, 3)
    image = (
        tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES)
        if plan.format == "raw"
        else tfds.features.Image(shape=shape, encoding_format="jpeg")
    )
    features = tfds.features.FeaturesDict(
        {
            "file": tfds.features.Text(),
            "image": image,
            "label": tfds.features.ClassLabel(names=list(source.class_names)),
        }
    )
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=np.bincount(
                columns[split]["shard"], minlength=len(values["shards"])
            ).tolist(),
            num_bytes=sum(values["shard_bytes"]),
            filename_template=tfds.core.ShardedFileTemplate(
                dataset_name=source.name,
                data_dir=str(folder),
                split=split,
                filetype_suffix="tfrecord",
                template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            ),
        )
        for split, values in splits.items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=str(folder),
        features=features,
        split_infos=infos,
        supervised_keys=("image", "label"),
        description=f"{source.name}, rescaled to {plan.size} pixels by alexnet_tf.",
        check_data=False,
    )
