"""Which files of a folder are images, by their names. No TensorFlow.

Only `prepare` looks at the content instead.
"""

from pathlib import PurePath

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def is_image(name: str) -> bool:
    """Return whether a file has an image's extension and is not hidden."""
    base = PurePath(name).name
    return base.lower().endswith(EXTENSIONS) and not base.startswith(".")
