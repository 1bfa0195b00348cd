"""Resize, crop and convert images: pure functions of uint8 tensors, RGB or gray, 0..255.

They work eagerly, inside a tf.function and inside `Dataset.map`.
"""

import functools

import tensorflow as tf

from alexnet_tf.data.squares import copy_squares, resized_side

# ITU-R BT.601, as in Pillow and TensorFlow.
_LUMINANCE = (0.299, 0.587, 0.114)


def to_channels(images: tf.Tensor, channels: int) -> tf.Tensor:
    """Convert images to gray or RGB.

    Args:
      images: uint8 [..., height, width, 1, 3 or 4]; a fourth channel (alpha) is dropped.
      channels: 1 (luminance) or 3 (gray is repeated).

    Returns:
      uint8 [..., height, width, channels].
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
    """Resize the shorter side to `pixels`, then crop the central square (section 2).

    Bilinear with antialiasing (the filter widens when an image shrinks), rounded to whole levels.
    The longer side is rounded to whole pixels. Images that already have this size are returned
    unchanged.

    Args:
      images: uint8 [height, width, channels] or [batch, height, width, channels].
      pixels: Side of the square.

    Returns:
      uint8 [(batch,) pixels, pixels, channels].
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


def crop_and_flip(
    images: tf.Tensor, tops: tf.Tensor, lefts: tf.Tensor, flips: tf.Tensor, pixels: int
) -> tf.Tensor:
    """Crop a square out of each image at its own position and flip some of them (section 4.1).

    Args:
      images: uint8 [batch, height, width, channels], in main memory.
      tops: int32 [batch], the crop's first row.
      lefts: int32 [batch], the crop's first column.
      flips: bool [batch], whether the crop is flipped horizontally.
      pixels: Side of the square.

    Returns:
      uint8 [batch, pixels, pixels, channels].
    """
    shape = (pixels, pixels, images.shape[-1])
    copy = functools.partial(copy_squares, shape=shape)
    squares = tf.numpy_function(copy, (images, tops, lefts, flips), tf.uint8, stateful=False)
    return tf.ensure_shape(squares, (images.shape[0], *shape))


def crop_and_flip_one(
    image: tf.Tensor, top: tf.Tensor, left: tf.Tensor, flip: tf.Tensor, pixels: int
) -> tf.Tensor:
    """Crop a square out of one image and flip it if asked, with TensorFlow operations.

    Args:
      image: [height, width, channels] of any type.
      top: int32 scalar.
      left: int32 scalar.
      flip: bool scalar.
      pixels: Side of the square.

    Returns:
      [pixels, pixels, channels] of the type of `image`.
    """
    cut = image[top : top + pixels, left : left + pixels]
    cut = tf.cond(flip, lambda: tf.reverse(cut, [1]), lambda: cut)
    return tf.ensure_shape(cut, (pixels, pixels, image.shape[-1]))


def mirror_padded(images: tf.Tensor, pixels: int) -> tf.Tensor:
    """Add reflect padding: the outermost pixels are not repeated.

    Args:
      images: [batch, height, width, channels] of any type.
      pixels: Width of the border, less than the images' sides; 0 adds none.

    Returns:
      [batch, height + 2 * pixels, width + 2 * pixels, channels].
    """
    if not pixels:
        return images
    border = (pixels, pixels)
    return tf.pad(images, ((0, 0), border, border, (0, 0)), mode="REFLECT")


def center_crop(images: tf.Tensor, pixels: int) -> tf.Tensor:
    """Crop the central square.

    Args:
      images: [batch, height, width, channels], static height and width.
      pixels: Side of the square.

    Returns:
      [batch, pixels, pixels, channels].
    """
    top, left = (images.shape[1] - pixels) // 2, (images.shape[2] - pixels) // 2
    return images[:, top : top + pixels, left : left + pixels, :]


def ten_crop(images: tf.Tensor, pixels: int) -> tf.Tensor:
    """Crop the four corners and the center, and flip each horizontally (section 4.1).

    Args:
      images: [batch, height, width, channels], static height and width.
      pixels: Side of the squares.

    Returns:
      [batch, 10, pixels, pixels, channels] of the type of `images`. Along axis 1: top left, top
      right, bottom left, bottom right, center, then these five flipped, in the same order.
    """
    bottom, right = images.shape[1] - pixels, images.shape[2] - pixels
    corners = ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2))
    crops = [images[:, y : y + pixels, x : x + pixels, :] for y, x in corners]
    return tf.stack(crops + [crop[:, :, ::-1, :] for crop in crops], axis=1)
