"""Sources that are prepared TFDS data sets: their encoded images, found in their shards."""

import os
from pathlib import Path

from alexnet_tf.data.records import features_in, records
from alexnet_tf.data.tfds import find_builder
from alexnet_tf.errors import InputError
from alexnet_tf.prepare.items import SKIPPED, Item, Problem, Source


def list_tfds(name: str, data_dir: str | None) -> Source:
    """Lists the examples of a TFDS data set; one that is not prepared by TFDS yet is.

    Raises:
      InputError: There is none, it is no image classification set, or its shards are no TFRecords
        or damaged.
    """
    found = find_builder(name, data_dir=data_dir)
    info, features = found.builder.info, found.builder.info.features
    class_names = tuple(features[found.label_key].names)
    source = Source(name.split(":")[0].split("/")[0], Path(info.data_dir), class_names, {})
    for split, tfds_name in found.splits.items():
        split_info = info.splits[tfds_name]
        if info.file_format.value != "tfrecord":
            raise InputError(
                f"{info.full_name} is stored as {info.file_format.value}: prepare it as tfrecord"
            )
        items = source.splits[split] = []
        for path in split_info.filepaths:
            shard = Path(path)
            changed = shard.stat().st_mtime_ns
            container = os.path.relpath(shard, info.data_dir)
            for offset, content in records(shard):
                name_in_split = f"{shard.name}@{offset}"
                feature = features_in(content, shard)
                image = feature[found.image_key].bytes_list.value
                label = feature[found.label_key].int64_list.value
                if not image or not label or label[0] < 0:
                    problem = Problem(split, name_in_split, "no image or no label", SKIPPED)
                    source.problems.append(problem)
                    continue
                at = offset + content.index(image[0])
                item = Item(name_in_split, label[0], len(image[0]), changed, container, at)
                items.append(item)
    return source
