"""Decoding of image files inside the served graph: bounded in size, upright, on white.

A served model has no Pillow at hand: everything here is made of TensorFlow operations, which are
saved with the graph and run in TF Serving.
"""

import tensorflow as tf

from alexnet_tf.data.decode import MAX_PIXELS
from alexnet_tf.data.images import decode, resize_and_crop, to_channels
from alexnet_tf.export.image_headers import checked_pixels, exif_orientation, switch_format

_PARALLEL_DECODES = 10


def decode_squares(contents: tf.Tensor, channels: int, pixels: int) -> tf.Tensor:
    """Decodes image files, resizes them and cuts their central squares.

    All sizes are checked by the files' headers before the first file is decoded. Files with at most
    `MAX_PIXELS` pixels together are decoded in parallel, others one at a time, so that at most
    `MAX_PIXELS` pixels are in memory at once, apart from the returned squares.

    Args:
      contents: string [b], the bytes of JPEG, PNG, WebP, GIF (first frame) or BMP files.
      channels: 3 (RGB) or 1 (gray).
      pixels: Side of the squares.

    Returns:
      uint8 [b, pixels, pixels, channels].

    Raises:
      tf.errors.InvalidArgumentError: When run, for a file that is damaged, has another format, or
        has more than `MAX_PIXELS` pixels.
    """
    counts = tf.map_fn(checked_pixels, contents, fn_output_signature=tf.TensorSpec((), tf.int64))

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])  # traced once for both branches
    def decode_square(content: tf.Tensor) -> tf.Tensor:
        return resize_and_crop(decode_upright(content, channels), pixels)

    def decode_all(parallel_iterations: int) -> tf.Tensor:
        return tf.map_fn(
            decode_square,
            contents,
            fn_output_signature=tf.TensorSpec((pixels, pixels, channels), tf.uint8),
            parallel_iterations=parallel_iterations,
        )

    fit_together = tf.reduce_sum(counts) <= MAX_PIXELS
    return tf.cond(fit_together, lambda: decode_all(_PARALLEL_DECODES), lambda: decode_all(1))


def decode_upright(content: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes an image file of any size.

    JPEG files are decoded as Pillow decodes them (accurate DCT) and turned upright by their EXIF
    orientation. Transparent PNG and WebP images are put on white.

    Args:
      content: string scalar, the bytes of a JPEG, PNG, WebP, GIF (first frame) or BMP file.
      channels: 3 (RGB) or 1 (gray).

    Returns:
      uint8 [height, width, channels].
    """

    def decode_jpeg() -> tf.Tensor:
        image = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
        return _turn_upright(image, exif_orientation(content))

    rgb = switch_format(
        content,
        jpeg=decode_jpeg,
        png=lambda: _put_on_white(tf.io.decode_png(content, channels=4)),
        webp=lambda: _decode_webp(content),
        other=lambda: decode(content, 3),
    )
    return to_channels(tf.ensure_shape(rgb, (None, None, 3)), channels)


def _turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image as its EXIF orientation says.

    Args:
      image: uint8 [height, width, channels].
      orientation: int64 scalar in 1..8.

    Returns:
      uint8 [height, width, channels], or [width, height, channels] from orientation 5 on.
    """

    def is_one_of(*values: int) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(values, tf.int64))

    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(is_one_of(2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(is_one_of(3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: image)


def _put_on_white(rgba: tf.Tensor) -> tf.Tensor:
    """Blends an image with a white background: uint8 [h, w, 3] from uint8 [h, w, 4]."""
    rgb, alpha = rgba[..., :3], rgba[..., 3:]

    def blend() -> tf.Tensor:
        # x / 255, rounded, is (t + t // 256) // 256 with t = x + 128; all of it fits into 16 bits.
        darkness = tf.cast(255 - rgb, tf.uint16) * tf.cast(alpha, tf.uint16) + 128
        rounded = (darkness + darkness // 256) // 256
        return 255 - tf.cast(rounded, tf.uint8)

    return tf.cond(tf.reduce_all(alpha == 255), lambda: rgb, blend)


def _decode_webp(content: tf.Tensor) -> tf.Tensor:
    """Decodes a WebP file: uint8 [height, width, 3]."""
    # TensorFlow refuses a number of channels that differs from the file's.
    image = tf.io.decode_image(content, channels=0, expand_animations=False)
    image = tf.ensure_shape(image, (None, None, None))
    is_opaque = tf.equal(tf.shape(image)[-1], 3)
    return tf.cond(is_opaque, lambda: image, lambda: _put_on_white(image))
