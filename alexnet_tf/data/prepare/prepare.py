"""`prepare`: from a source of images to a folder that training reads fast."""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from alexnet_tf.data.prepare.items import MARKER, Problem, Source
from alexnet_tf.data.prepare.report import (
    DUPLICATES,
    PROBLEMS,
    REPORT,
    Parts,
    duplicates_csv,
    make_report,
    problems_csv,
)
from alexnet_tf.data.prepare.shards import (
    WORK,
    OnProgress,
    Shard,
    parts,
    plan,
    remove_leftovers,
    training_sums,
    write_shards,
)
from alexnet_tf.data.prepare.sources import list_source
from alexnet_tf.data.prepared import INDEX_COLUMNS, STATISTICS, VERSION, recorded_name
from alexnet_tf.data.statistics import Statistics, principal_components
from alexnet_tf.errors import InputError, choose
from alexnet_tf.files import atomic_path, write_json, write_text

FORMATS = ("jpeg", "raw")
_VERSION = 1  # of what the same plan is written as
_LARGEST_SIZE = 1024


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What `prepare` came to.

    Attributes:
      folder: The prepared set.
      was_done: Whether it was there already.
      report: As in report.json.
    """

    folder: Path
    was_done: bool
    report: dict[str, Any]


def prepare(
    source: str,
    out: str | os.PathLike[str] | None = None,
    *,
    size: int = 256,
    kind: str = "jpeg",
    data_dir: str | None = None,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> Prepared:
    """Prepares a data set once (section 2), for any number of trainings.

    Every image is checked, repaired where that can be done, rescaled so that its shorter side is
    `size`, and its central square is written. The folder is a TFDS data set
    (`tfds.builder_from_directory`) with an index beside each split, the training set's mean image
    and principal components, and a report. Stopped at any moment, the next call goes on and ends in
    the same bytes.

    Args:
      source: A folder (class folders; train/ and val/; or images with a CSV file), ImageNet as
        downloaded, or a TFDS name.
      out: The folder to write; `prepared/<name of the source>` if None.
      size: Side of the squares in pixels.
      kind: "jpeg", or "raw": pixels as they are, several times larger and faster to read.
      data_dir: TFDS's data folder, for a TFDS name.
      processes: How many work; None: one per core.
      on_progress: Called with the images done and all.

    Returns:
      The prepared set.

    Raises:
      InputError: The source cannot be used, or `out` holds something else.
    """
    choose(kind, FORMATS, "--format")
    if not 1 <= size <= _LARGEST_SIZE:
        raise InputError(f"--size must be 1 to {_LARGEST_SIZE}. Received: {size}")
    listed = list_source(source, data_dir)
    folder = Path(out).expanduser() if out is not None else Path("prepared") / listed.name
    wanted = {
        "version": _VERSION,
        "source": listed.fingerprint(),
        "size": size,
        "format": kind,
        "name": listed.name,
    }
    if _is_done(folder, wanted):
        shutil.rmtree(folder / WORK, ignore_errors=True)
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        return Prepared(folder, True, report)
    with _work_folder(folder, wanted):
        shards = plan(listed)
        _check_space(shards, folder, size, kind)
        write_shards(
            shards,
            listed.root,
            folder,
            size=size,
            kind=kind,
            processes=processes or _cores(),
            on_progress=on_progress,
        )
        report = _finish(listed, shards, folder, wanted)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return Prepared(folder, False, report)


def _cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_done(folder: Path, wanted: dict[str, Any]) -> bool:
    """Returns whether a folder holds just what is wanted, whole.

    Raises:
      InputError: It holds another prepared set.
    """
    marker = folder / MARKER
    if not marker.is_file():
        return False
    try:
        done = json.loads(marker.read_text(encoding="utf-8")).get("plan_values")
    except ValueError:
        done = None
    if done == wanted:
        return True
    raise InputError(
        f"{folder} holds another prepared set, or one of a source that has changed since: "
        "give another --out, or remove it"
    )


@contextlib.contextmanager
def _work_folder(folder: Path, wanted: dict[str, Any]) -> Iterator[None]:
    """Makes, or takes up, the folder to write to; one process at a time.

    Raises:
      InputError: It holds something else, or another process is at work in it.
    """
    work = folder / WORK
    if folder.exists() and not work.is_dir() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty: give a new folder as --out")
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another process is preparing {folder}") from None
        begun = work / "plan.json"
        if not begun.exists():
            write_json(begun, wanted)
        elif json.loads(begun.read_text(encoding="utf-8")) != wanted:
            raise InputError(
                f"{folder} holds a preparation that was begun from another source, or with other "
                "options: give another --out, or remove it"
            )
        remove_leftovers(folder)
        remove_leftovers(work)
        yield


def _check_space(shards: list[Shard], folder: Path, size: int, kind: str) -> None:
    """Raises InputError if pixels will not fit on the disk: that can be told beforehand."""
    if kind != "raw":
        return
    waiting = [shard for shard in shards if not (folder / shard.file).exists()]
    needed = sum(len(shard.items) for shard in waiting) * size * size * 3
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free: "
            "use --format jpeg, a smaller --size, or another --out"
        )


def _finish(
    source: Source, shards: list[Shard], folder: Path, wanted: dict[str, Any]
) -> dict[str, Any]:
    """Writes what stands beside the shards; the marker last."""
    columns, lengths, problems = _collect(source, shards, folder)
    report = make_report(source, columns, problems, wanted["size"])
    write_json(folder / REPORT, report)
    write_text(folder / PROBLEMS, problems_csv(problems))
    trained_on = {int(label) for label in np.unique(columns["train"]["label"])}
    if len(trained_on) < 2:
        raise InputError(
            f"{source.root}: images of {len(trained_on)} classes can be read, at least two are "
            f"needed; see {folder / PROBLEMS}"
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
    mean = pixel_sum / images
    rgb_mean = mean.mean(axis=(0, 1))
    covariance = products / (images * size * size) - np.outer(rgb_mean, rgb_mean)
    stds, vectors = principal_components(covariance)
    statistics = Statistics(
        mean.astype(np.float32), stds, vectors, good=np.arange(images, dtype=np.int64)
    )
    statistics.save(folder / STATISTICS)


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
