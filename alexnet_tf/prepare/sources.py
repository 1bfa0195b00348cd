"""Find the images of a source: a folder, a CSV file, ImageNet as downloaded, or a TFDS name."""

import os
from pathlib import Path

from alexnet_tf.data.prepared_set import is_prepared
from alexnet_tf.data.records import features_in, records
from alexnet_tf.data.remote import storage_address
from alexnet_tf.data.tables import LIST_ENDING, TABLE_ENDINGS, check_encoding
from alexnet_tf.data.tfds import find_builder, is_tfds_name
from alexnet_tf.errors import InputError
from alexnet_tf.files import expanded
from alexnet_tf.prepare.csv_source import find_tables, list_tables
from alexnet_tf.prepare.folder_source import has_classes, list_folder
from alexnet_tf.prepare.imagenet_source import is_imagenet, list_imagenet
from alexnet_tf.prepare.source import Item, Source

_EXPECTED = "give a folder of images, a CSV file or a TFDS name"


def list_source(source: str, data_dir: str | None = None, encoding: str | None = None) -> Source:
    """Lists the images of a source, which has training images and at least two classes.

    For arguments, see `prepare.prepare`.

    Raises:
      InputError: The source does not exist or cannot be used.
    """
    if not source:
        raise InputError(f"the source is empty: {_EXPECTED}")
    check_encoding(encoding)
    path = expanded(source)
    storage_address(data_dir)  # before TFDS is used
    if path.is_dir() and (os.sep in source or not is_tfds_name(source)):
        listed = _list_directory(path, source, encoding)
    elif path.is_file() and path.suffix.lower() in (*TABLE_ENDINGS, LIST_ENDING):
        listed = list_tables([path], encoding)
    elif path.is_file() or _is_path(source):
        is_workbook = path.suffix.lower() in (".xls", ".xlsx", ".ods")
        problem = "is neither a folder nor a CSV file" if path.exists() else "does not exist"
        remedy = "save the workbook as CSV (UTF-8)" if is_workbook and path.exists() else _EXPECTED
        raise InputError(f"{source} {problem}: {remedy}")
    else:
        listed = _list_tfds(source, data_dir)
    listed.check()
    listed.rename_ambiguous_classes()
    return listed


def _list_directory(path: Path, source: str, encoding: str | None) -> Source:
    """Lists a folder: ImageNet, a table of labels and its images, or class folders."""
    if is_prepared(path):
        raise InputError(f"{source} is prepared already: train --dataset {source}")
    if is_imagenet(path):
        return list_imagenet(path)
    tables = [] if has_classes(path) else find_tables(path, encoding)
    return list_tables(tables, encoding) if tables else list_folder(path, encoding)


def _is_path(source: str) -> bool:
    """Returns whether a source that does not exist is a path; TFDS configs contain a / too."""
    if source.startswith((".", "~", os.sep)):
        return True
    return os.sep in source and not is_tfds_name(source.split("/")[0])


def _list_tfds(name: str, data_dir: str | None) -> Source:
    """Lists a TFDS data set: the encoded images in its shards. TFDS prepares it if needed."""
    try:
        found = find_builder(name, data_dir=data_dir)
    except InputError as error:  # whose message is written for --dataset of other commands
        message = str(error).removeprefix("--dataset ")
        if message.startswith(f"{name}: ") and not is_tfds_name(name.split(":")[0]):
            message = f"{name} does not exist: {_EXPECTED}"
        raise InputError(message) from None
    info = found.builder.info
    class_names = tuple(info.features[found.label_key].names)
    source = Source(Path(info.data_dir), name.split(":")[0].split("/")[0], class_names)
    for split, tfds_split in found.splits.items():
        items = source.splits[split] = []
        for shard in map(Path, info.splits[tfds_split].filepaths):
            modified = shard.stat().st_mtime_ns
            container = os.path.relpath(shard, info.data_dir)
            for offset, record in records(shard):
                item_name = f"{shard.name}@{offset}"
                features = features_in(record, shard)
                images = features[found.image_key].bytes_list.value
                labels = features[found.label_key].int64_list.value
                if not images or not labels or labels[0] < 0:
                    source.add_problem(split, item_name, "no image or no label")
                    continue
                start = offset + record.index(images[0])
                items.append(Item(item_name, labels[0], len(images[0]), modified, container, start))
    return source
