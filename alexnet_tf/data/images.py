"""Decode, resize, crop and augment images: pure functions of tensors, RGB or gray, 0..255.

They work eagerly, inside a tf.function and inside `Dataset.map`.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from alexnet_tf.data.decode import decode_image, is_plain, resized_side

# ITU-R BT.601, as in Pillow and TensorFlow.
_LUMINANCE = (0.299, 0.587, 0.114)


def decode_content(content: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a file's bytes, a string scalar, as `decode.decode_image` does.

    Ordinary JPEG and PNG files are decoded by TensorFlow, to the same pixels: a JPEG takes 0.7 of
    the time that Pillow takes, and in parallel. All others are decoded by Pillow.

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.InvalidArgumentError: When run, for a file that cannot be decoded or has too many
        pixels.
    """
    return to_channels(_decode_rgb(content), channels)


# A tf.function, so that Python errors become TensorFlow errors also in eager calls.
@tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
def _decode_rgb(content: tf.Tensor) -> tf.Tensor:
    plain = tf.numpy_function(is_plain, [content], tf.bool, stateful=False)
    image = tf.cond(
        tf.ensure_shape(plain, ()),
        # This kernel decodes PNG files as well. Its default method for JPEG differs from Pillow's.
        lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.numpy_function(decode_image, [content], tf.uint8, stateful=False),
    )
    return tf.ensure_shape(image, (None, None, 3))


def decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes an image file with TensorFlow operations alone, as exported graphs must.

    Transparency and EXIF orientation are ignored; `decode_content` applies both.

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


def to_channels(images: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts images to gray (luminance) or RGB (gray is repeated); drops a fourth channel, alpha.

    From uint8 [..., height, width, 1, 3 or 4] to [..., height, width, channels].
    """
    have = images.shape[-1]
    if have == channels:
        return images
    if have == 4:
        return to_channels(images[..., :3], channels)
    if channels == 3:
        return tf.repeat(images, 3, axis=-1)
    gray = tf.reduce_sum(tf.cast(images, tf.float32) * _LUMINANCE, axis=-1, keepdims=True)
    return tf.cast(tf.round(gray), tf.uint8)


def resize_and_crop(images: tf.Tensor, pixels: int) -> tf.Tensor:
    """Resizes the shorter side to `pixels`, then crops the central square (section 2).

    From uint8 [(batch,) height, width, channels] to [(batch,) pixels, pixels, channels]. Bilinear
    with antialiasing (the filter widens when an image shrinks), rounded to whole levels. The longer
    side is rounded to whole pixels. Images that already have this size are returned unchanged.
    """
    images = tf.convert_to_tensor(images)
    if images.shape[-3] == pixels and images.shape[-2] == pixels:
        return images
    single = images.shape.rank == 3
    batch = images[tf.newaxis] if single else images
    # int64: a side of an image with 64 million pixels, times 256, needs it.
    old = tf.shape(batch, out_type=tf.int64)[1:3]
    new = resized_side(old, tf.reduce_min(old), pixels)
    corner = (new - pixels) // 2

    def cut() -> tf.Tensor:
        return batch[:, corner[0] : corner[0] + pixels, corner[1] : corner[1] + pixels]

    def resized() -> tf.Tensor:
        # As tf.image.resize(antialias=True), but only the square is computed.
        scaled = tf.raw_ops.ScaleAndTranslate(
            images=batch,
            size=(pixels, pixels),
            scale=tf.cast(new, tf.float32) / tf.cast(old, tf.float32),
            translation=-tf.cast(corner, tf.float32),
            kernel_type="triangle",
            antialias=True,
        )
        return tf.cast(tf.clip_by_value(tf.round(scaled), 0.0, 255.0), tf.uint8)

    square = tf.cond(tf.reduce_all(tf.equal(new, old)), cut, resized)
    square = tf.ensure_shape(square, (batch.shape[0], pixels, pixels, batch.shape[-1]))
    return square[0] if single else square


def flip_horizontally(images: tf.Tensor, flips: tf.Tensor) -> tf.Tensor:
    """Flips images, [batch, height, width, channels], where `flips`, bool [batch], is true."""
    return tf.where(flips[:, tf.newaxis, tf.newaxis, tf.newaxis], images[:, :, ::-1], images)


def crop_and_flip_one(
    image: tf.Tensor, top: tf.Tensor, left: tf.Tensor, flip: tf.Tensor, pixels: int
) -> tf.Tensor:
    """Computes `crop.crop_and_flip` of one image, for which this is faster than NumPy."""
    crop = image[top : top + pixels, left : left + pixels]
    crop = tf.cond(flip, lambda: tf.reverse(crop, [1]), lambda: crop)
    return tf.ensure_shape(crop, (pixels, pixels, image.shape[-1]))


def pad_reflect(images: tf.Tensor, pixels: int) -> tf.Tensor:
    """Adds reflect padding, `pixels` wide, to images, [batch, height, width, channels].

    The outermost pixels are not repeated. `pixels` must be less than the images' sides.
    """
    if not pixels:
        return images
    border = (pixels, pixels)
    return tf.pad(images, ((0, 0), border, border, (0, 0)), mode="REFLECT")


def center_crop(images: tf.Tensor, pixels: int) -> tf.Tensor:
    """Crops the central squares of images, [batch, height, width, channels], of static size."""
    top, left = (images.shape[1] - pixels) // 2, (images.shape[2] - pixels) // 2
    return images[:, top : top + pixels, left : left + pixels, :]


def ten_crop(images: tf.Tensor, pixels: int) -> tf.Tensor:
    """Crops the four corners and the center, and flips each horizontally (section 4.1).

    Args:
      images: [batch, height, width, channels], of static size.
      pixels: Side of the squares.

    Returns:
      [batch, 10, pixels, pixels, channels]: top left, top right, bottom left, bottom right, center,
      then these five flipped, in the same order.
    """
    bottom, right = images.shape[1] - pixels, images.shape[2] - pixels
    corners = ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2))
    crops = [images[:, y : y + pixels, x : x + pixels, :] for y, x in corners]
    return tf.stack(crops + [crop[:, :, ::-1, :] for crop in crops], axis=1)


def apply_color_jitter(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast and saturation of a batch, in this order, as torchvision does.

    They scale the distance to black, to the image's mean luminance, and to each pixel's luminance.
    Values are clipped to 0..255 after each.

    Args:
      images: float32 [batch, height, width, channels], 0..255.
      factors: float32 [batch, 3], of brightness, contrast and saturation; 1 changes nothing.

    Returns:
      float32 [batch, height, width, channels], 0..255.
    """

    def luminance(x: tf.Tensor) -> tf.Tensor:
        if x.shape[-1] == 1:
            return x
        return tf.reduce_sum(x * _LUMINANCE, axis=-1, keepdims=True)

    def moved(x: tf.Tensor, center: tf.Tensor | float, number: int) -> tf.Tensor:
        factor = factors[:, number, tf.newaxis, tf.newaxis, tf.newaxis]
        return tf.clip_by_value(center + factor * (x - center), 0.0, 255.0)

    images = moved(images, 0.0, 0)
    images = moved(images, tf.reduce_mean(luminance(images), axis=(1, 2), keepdims=True), 1)
    return moved(images, luminance(images), 2)


def apply_lighting(
    images: tf.Tensor, offsets: tf.Tensor, divisor: float = 1.0, mean: Any = None
) -> tf.Tensor:
    """Adds PCA lighting to a batch, before a network that subtracts the mean itself.

    The 2012 code computes (x - mean + offset) / 1.1. Before the mean is subtracted, this is
    mean + (x - mean + offset) / 1.1. Values are not clipped to 0..255.

    Args:
      images: float32 [batch, height, width, 3], 0..255.
      offsets: float32 [batch, 3].
      divisor: 1, or the 2012 code's 1.1.
      mean: The mean that the network subtracts: float32 [height, width, 3], or [3]. Required with
        a divisor.

    Returns:
      float32 [batch, height, width, 3].
    """
    offsets = offsets[:, tf.newaxis, tf.newaxis, :]
    if divisor == 1.0:
        return images + offsets
    if mean is None:
        raise ValueError(f"a divisor needs the mean. Received: divisor={divisor}, mean=None")
    return mean + (images - mean + offsets) / divisor


def augment_colors(
    images: tf.Tensor, draws: Mapping[str, tf.Tensor], divisor: float = 1.0, mean: Any = None
) -> tf.Tensor:
    """Applies the drawn changes of color to a batch: color jitter, then PCA lighting.

    Args:
      images: [batch, height, width, channels] of any type, 0..255.
      draws: `offset` (not used for gray images) and perhaps `jitter` of `training_batches`.
      divisor: See `apply_lighting`.
      mean: Likewise.

    Returns:
      float32 [batch, height, width, channels].
    """
    images = tf.cast(images, tf.float32)
    if "jitter" in draws:
        images = apply_color_jitter(images, draws["jitter"])
    if images.shape[-1] == 3:
        images = apply_lighting(images, draws["offset"], divisor, mean)
    return images
