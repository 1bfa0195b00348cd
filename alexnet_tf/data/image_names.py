"""Which files are taken for images by their names, where a folder is looked through. No TensorFlow.

`prepare` alone looks at what files hold.
"""

from pathlib import PurePath

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def is_image(name: str) -> bool:
    """Returns whether a file is an image by its name, and not hidden."""
    base = PurePath(name).name
    return base.lower().endswith(EXTENSIONS) and not base.startswith(".")
