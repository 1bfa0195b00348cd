"""Helpers for tests of the sources: write images, read what was listed."""

from hostile import encoded, photo

from alexnet_tf.prepare.source import SKIPPED


def write(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(photo(seed=seed)))


def names(source, split="train"):
    return {item.name: source.class_names[item.label] for item in source.splits[split]}


def skipped(source):
    return {p.name: p.problem for p in source.problems if p.action == SKIPPED}
