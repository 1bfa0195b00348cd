"""Find and read the image files that a user names by file, folder or pattern. No TensorFlow."""

import glob
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from alexnet_tf.errors import InputError
from alexnet_tf.files import IMAGE_EXTENSIONS, expanded, is_image

STANDARD_INPUT = "-"


def iterate_images(
    sources: Iterable[str], on_missing: Callable[[str, str], None] | None = None
) -> Iterator[str]:
    """Returns an iterator over the image files that `sources` name.

    All sources are checked first. Folders are searched while the iterator is used, so that the
    memory does not grow with the number of images.

    Args:
      sources: Files; folders, searched recursively for files that have an image's extension and
        are not hidden; patterns such as `photos/*.jpg` and `photos/**/*.png`; "-" for standard
        input.
      on_missing: Called with each source that is not found or has no images, and why, if other
        sources have some. None: that is an error.

    Returns:
      Iterator over paths, and "-" unchanged. The files of a folder or pattern are sorted.

    Raises:
      InputError: A source is not found or has no images; with `on_missing`, all of them.
    """
    sources = list(sources)
    if sources.count(STANDARD_INPUT) > 1:
        raise InputError("standard input (-) can be read only once")
    found: list[Iterable[str]] = []
    missing: dict[str, InputError] = {}
    for source in sources:
        try:
            found.append(_images_of(source))
        except InputError as error:
            missing[source] = error
    for source, problem in missing.items():
        if on_missing is None or not found:
            raise problem
        on_missing(source, str(problem).removeprefix(f"{source}: "))
    return itertools.chain.from_iterable(found)


def _images_of(source: str) -> Iterable[str]:
    """Returns the images that one source names, at least one."""
    path = expanded(source)
    if source == STANDARD_INPUT:
        return [source]
    if path.is_dir():
        images = _images_in_folder(path)
        first = next(images, None)
        if first is None:
            extensions = " ".join(IMAGE_EXTENSIONS)
            raise InputError(f"{path}: the folder has no images (looked for {extensions})")
        return itertools.chain([first], images)
    return [str(path)] if path.exists() else _images_matching(str(path))


def read_images(names: Iterable[str], stdin: BinaryIO) -> Iterator[tuple[str, bytes | str]]:
    """Reads image files one at a time.

    Args:
      names: From `iterate_images`.
      stdin: The stream that "-" is read from: one image.

    Yields:
      Pairs of a name and the file's bytes, or of a name and why the file cannot be read.
    """
    for name in names:
        if name == STANDARD_INPUT:
            yield "standard input", stdin.read()
            continue
        try:
            yield name, Path(name).read_bytes()
        except OSError as error:
            yield name, error.strerror or str(error)


def _images_in_folder(folder: Path) -> Iterator[str]:
    """Yields the images in a folder and its subfolders."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (str(Path(parent) / name) for name in sorted(files) if is_image(name))


def _images_matching(pattern: str) -> list[str]:
    """Returns the images whose paths match a pattern."""
    if not glob.has_magic(pattern):
        raise InputError(f"{pattern}: file not found")
    # Not Path.glob: a pattern may begin with a slash or two dots.
    paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
    files = [path for path in paths if not Path(path).is_dir() and is_image(path)]
    if not files:
        raise InputError(f"{pattern}: no image matches this pattern")
    return files
