"""Whether an image file is too large to decode, by its header alone."""

import os
import warnings

from PIL import Image

from alexnet_tf.data.repair import FORMATS, MAX_PIXELS

# Our own limit is lower than the one from which Pillow warns.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def refusal(path: str | os.PathLike[str]) -> str | None:
    """Returns why an image file is not to be decoded; None: it may be.

    A small file can decompress to any number of pixels. The limit is that of `prepare`. What cannot
    be read is left to the decoder.
    """
    too_many = f"more than {MAX_PIXELS // 10**6} million pixels"
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        return too_many
    except (OSError, ValueError, SyntaxError, LookupError, ArithmeticError, MemoryError):
        return None
    return f"{width} x {height}: {too_many}" if width * height > MAX_PIXELS else None
