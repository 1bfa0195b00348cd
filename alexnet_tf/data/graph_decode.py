"""Decode image files inside TensorFlow graphs: input pipelines and exported models."""

import tensorflow as tf

from alexnet_tf.data.decode import decode_image, is_plain
from alexnet_tf.data.images import to_channels


def decode_content(content: tf.Tensor, channels: int) -> tf.Tensor:
    """Decode an image file as `decode.decode_image` does; usable inside `Dataset.map`.

    Ordinary JPEG and PNG files are decoded by TensorFlow, to the same pixels: a JPEG takes 0.7 of
    the time that Pillow takes, and several are decoded at once. All others are decoded by Pillow.

    Args:
      content: string scalar, the file's bytes.
      channels: 3 (RGB) or 1 (gray).

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.InvalidArgumentError: When run, for a file that cannot be decoded or has too many
        pixels.
    """
    return to_channels(_decode_rgb(content), channels)


# A function of its own: called eagerly, Python's errors become TensorFlow's here, too.
@tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
def _decode_rgb(content: tf.Tensor) -> tf.Tensor:
    """Return `decode_content` of a file: uint8 [height, width, 3]."""

    def decode_plain() -> tf.Tensor:
        # The kernel decodes PNG files as well. Its default method for JPEG differs from Pillow's.
        return tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")

    def decode_with_pillow() -> tf.Tensor:
        return tf.numpy_function(decode_image, [content], tf.uint8, stateful=False)

    plain = tf.numpy_function(is_plain, [content], tf.bool, stateful=False)
    image = tf.cond(tf.ensure_shape(plain, ()), decode_plain, decode_with_pillow)
    return tf.ensure_shape(image, (None, None, 3))


def decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """Decode an image file with TensorFlow operations alone, as exported graphs must.

    Transparency is dropped and the EXIF orientation is ignored; `decode_content` does neither.

    Args:
      encoded: string scalar, a JPEG, PNG, WebP (not animated), GIF (first frame) or BMP file.
      channels: 3 (RGB) or 1 (gray).

    Returns:
      uint8 [height, width, channels].
    """

    def decode_bitmap() -> tf.Tensor:
        # TensorFlow converts no channels of a BMP file.
        bitmap = tf.io.decode_bmp(encoded, channels=0)
        return tf.cond(
            tf.equal(tf.shape(bitmap)[-1], 1),
            lambda: tf.repeat(bitmap[..., :1], 3, axis=-1),
            lambda: bitmap[..., :3],
        )

    image = tf.cond(
        tf.equal(tf.strings.substr(encoded, 0, 2), b"BM"),
        decode_bitmap,
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    return to_channels(tf.ensure_shape(image, (None, None, 3)), channels)
