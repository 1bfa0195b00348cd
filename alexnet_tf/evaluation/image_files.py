"""From what the user names to image files: folders, patterns, standard input. No TensorFlow."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from alexnet_tf.data.image_names import EXTENSIONS, is_image
from alexnet_tf.errors import InputError
from alexnet_tf.files import expanded

STANDARD_INPUT = "-"


def find_images(sources: Iterable[str]) -> list[str]:
    """Returns the image files that the user means.

    Args:
      sources: Files; folders, gone through with everything below them, for files with the
        extension of an image that are not hidden; patterns such as `photos/*.jpg` and
        `photos/**/*.png`; "-" for standard input.

    Returns:
      Paths, and "-" as it is. Folders and patterns come in sorted order.

    Raises:
      InputError: One of them is not there, or has no images.
    """
    found: list[str] = []
    for source in sources:
        path = expanded(source)
        if source == STANDARD_INPUT:
            found.append(source)
        elif path.is_dir():
            found += _below(path)
        elif path.exists():
            found.append(str(path))
        else:
            found += _matches(str(path))
    if found.count(STANDARD_INPUT) > 1:
        raise InputError("standard input (-) can be read only once")
    return found


def read_images(names: Iterable[str], stdin: BinaryIO) -> Iterator[tuple[str, bytes | str]]:
    """Reads image files, one at a time.

    Args:
      names: From `find_images`.
      stdin: What "-" is read from: one image.

    Yields:
      A name and the file's bytes, or a name and why it could not be read.
    """
    for name in names:
        if name == STANDARD_INPUT:
            yield "standard input", stdin.read()
            continue
        try:
            yield name, Path(name).read_bytes()
        except OSError as error:
            yield name, error.strerror or str(error)


def _below(folder: Path) -> list[str]:
    """Returns the images in a folder and in the folders below it.

    Raises:
      InputError: There are none.
    """
    images = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        images += [str(Path(place) / name) for name in sorted(files) if is_image(name)]
    if not images:
        raise InputError(f"{folder}: the folder has no images (looked for {' '.join(EXTENSIONS)})")
    return images


def _matches(pattern: str) -> list[str]:
    """Returns the images that a pattern stands for.

    Raises:
      InputError: There are none.
    """
    if not glob.has_magic(pattern):
        raise InputError(f"{pattern}: there is no such image")
    # Not Path.glob: a pattern may begin with a slash or two dots.
    paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
    files = [path for path in paths if not Path(path).is_dir() and is_image(path)]
    if not files:
        raise InputError(f"{pattern}: no image goes by this pattern")
    return files
