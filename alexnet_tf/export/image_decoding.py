"""Decode image files inside the served graph: bounded in size, upright, on white.

A served graph has TensorFlow operations only, no Pillow. TensorFlow has an operation for the size
of a JPEG file; the other headers and EXIF are read byte by byte.
"""

from collections.abc import Callable

import tensorflow as tf

from alexnet_tf.data.decode import MAX_PIXELS
from alexnet_tf.data.images import decode, resize_and_crop, to_channels

_PARALLEL_DECODES = 10
_HEADER_BYTES = 32  # hold the size of a PNG, WebP or BMP image
_PADDING_BYTES = 16  # appended, so that short reads near the end of a file stay inside it
_START_OF_SCAN = 0xDA  # the JPEG marker that ends the segments of metadata
_MAX_SEGMENTS = 64  # of a JPEG file before its EXIF segment, which cameras write first or second
_MAX_GIF_BLOCKS = 4096
# The decoder holds all frames of a GIF, one byte per pixel. They may take as much memory as the
# largest image, which has three.
_MAX_GIF_BYTES = 3 * MAX_PIXELS
_ORIENTATION_TAG = 0x0112
_SHORT, _LONG = 3, 4  # EXIF types


def decode_and_resize(contents: tf.Tensor, channels: int, pixels: int) -> tf.Tensor:
    """Decodes, resizes and crops image files, string [b]: uint8 [b, pixels, pixels, channels].

    The files are JPEG, PNG, WebP, GIF (first frame) or BMP; `channels` is 3 (RGB) or 1 (gray).
    All sizes are checked by the files' headers before the first file is decoded. Files with at most
    `MAX_PIXELS` pixels together are decoded in parallel, others one at a time. At any time at most
    `MAX_PIXELS` pixels are in memory, apart from the returned ones.

    Raises:
      tf.errors.InvalidArgumentError: When run, for a file that is damaged, has another format, or
        has more than `MAX_PIXELS` pixels.
    """
    counts = tf.map_fn(checked_pixels, contents, fn_output_signature=tf.TensorSpec((), tf.int64))

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])  # traced once for both branches
    def decode_one(content: tf.Tensor) -> tf.Tensor:
        return resize_and_crop(decode_upright(content, channels), pixels)

    def decode_all(parallel_iterations: int) -> tf.Tensor:
        return tf.map_fn(
            decode_one,
            contents,
            fn_output_signature=tf.TensorSpec((pixels, pixels, channels), tf.uint8),
            parallel_iterations=parallel_iterations,
        )

    fit_together = tf.reduce_sum(counts) <= MAX_PIXELS
    return tf.cond(fit_together, lambda: decode_all(_PARALLEL_DECODES), lambda: decode_all(1))


def decode_upright(content: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes an image file of any size: uint8 [height, width, channels].

    JPEG files are decoded as Pillow decodes them (accurate DCT) and turned upright by their EXIF
    orientation. Transparent PNG and WebP images are put on white.
    """
    rgb = _switch_format(
        content,
        jpeg=lambda: _turn_upright(
            tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
            exif_orientation(content),
        ),
        png=lambda: _put_on_white(tf.io.decode_png(content, channels=4)),
        webp=lambda: _decode_webp(content),
        other=lambda: decode(content, 3),
    )
    return to_channels(tf.ensure_shape(rgb, (None, None, 3)), channels)


def _turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image by its EXIF orientation, 1..8; from 5 on, height and width are swapped."""
    is_flipped = tf.reduce_any(orientation == tf.constant((2, 3, 6, 7), tf.int64))
    is_upside_down = tf.reduce_any(orientation == tf.constant((3, 4, 7, 8), tf.int64))
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(is_flipped, lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(is_upside_down, lambda: tf.reverse(image, [0]), lambda: image)


def _put_on_white(rgba: tf.Tensor) -> tf.Tensor:
    """Blends an image, uint8 [h, w, 4], with a white background: uint8 [h, w, 3]."""
    rgb, alpha = rgba[..., :3], rgba[..., 3:]

    def blend() -> tf.Tensor:
        # x / 255, rounded, is (t + t // 256) // 256 with t = x + 128; all of it fits into 16 bits.
        darkness = tf.cast(255 - rgb, tf.uint16) * tf.cast(alpha, tf.uint16) + 128
        rounded = (darkness + darkness // 256) // 256
        return 255 - tf.cast(rounded, tf.uint8)

    return tf.cond(tf.reduce_all(alpha == 255), lambda: rgb, blend)


def _decode_webp(content: tf.Tensor) -> tf.Tensor:
    """Decodes a WebP file: uint8 [height, width, 3]."""
    # TensorFlow rejects a number of channels that differs from the file's.
    image = tf.io.decode_image(content, channels=0, expand_animations=False)
    image = tf.ensure_shape(image, (None, None, None))
    is_opaque = tf.equal(tf.shape(image)[-1], 3)
    return tf.cond(is_opaque, lambda: image, lambda: _put_on_white(image))


def _switch_format(content: tf.Tensor, **branches: Callable[[], tf.Tensor]) -> tf.Tensor:
    """Runs the branch `jpeg`, `png`, `webp` or `other`, by the first bytes of a file."""
    header = _padded_bytes(tf.strings.substr(content, 0, _HEADER_BYTES))
    is_webp = _matches(header, 0, b"RIFF") & _matches(header, 8, b"WEBP")
    return tf.case(
        [
            (_matches(header, 0, b"\xff\xd8\xff"), branches["jpeg"]),
            (_matches(header, 0, b"\x89PNG\r\n\x1a\n"), branches["png"]),
            (is_webp, branches["webp"]),
        ],
        default=branches["other"],
    )


def checked_pixels(content: tf.Tensor) -> tf.Tensor:
    """Returns the number of pixels of an image file by its header: int64 scalar.

    Raises:
      tf.errors.InvalidArgumentError: When run, for more than `MAX_PIXELS` pixels, and for a file in
        another format.
    """
    header = _padded_bytes(tf.strings.substr(content, 0, _HEADER_BYTES))

    def other_size() -> tf.Tensor:
        is_bmp, is_gif = _matches(header, 0, b"BM"), _matches(header, 0, b"GIF8")
        known = tf.debugging.Assert(
            is_bmp | is_gif, ["an image is damaged, or is not JPEG, PNG, WebP, GIF or BMP"]
        )
        with tf.control_dependencies([known]):
            return tf.cond(is_bmp, lambda: _bmp_size(header), lambda: _gif_size(content))

    size = _switch_format(  # height and width that the decoder allocates
        content,
        jpeg=lambda: tf.image.extract_jpeg_shape(content, tf.int64)[:2],
        png=lambda: tf.stack([_big_endian(header[20:24]), _big_endian(header[16:20])]),
        webp=lambda: _webp_size(header),
        other=other_size,
    )
    pixels = _pixels(size)
    fits = tf.debugging.Assert(
        pixels <= MAX_PIXELS,
        [f"an image has more than {MAX_PIXELS} pixels; height and width:", size],
    )
    with tf.control_dependencies([fits]):
        return tf.identity(pixels)


def exif_orientation(content: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation of a JPEG file: int64 scalar in 1..8, 1 if there is none."""
    data = _padded_bytes(content)
    end = tf.shape(data)[0] - _PADDING_BYTES

    def is_exif(position: tf.Tensor) -> tf.Tensor:
        return _matches(data, position, b"\xff\xe1") & _matches(data, position + 4, b"Exif\0\0")

    def length(position: tf.Tensor) -> tf.Tensor:
        return 2 + tf.cast(_big_endian(data[position + 2 : position + 4]), tf.int32)

    def is_other_segment(position: tf.Tensor, segments: tf.Tensor) -> tf.Tensor:
        is_marker = (data[position] == 0xFF) & (data[position + 1] != _START_OF_SCAN)
        return is_marker & ~is_exif(position) & (segments < _MAX_SEGMENTS)

    def next_segment(position: tf.Tensor, segments: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        is_fill = data[position + 1] == 0xFF  # may precede any marker
        return tf.minimum(position + tf.where(is_fill, 1, length(position)), end), segments + 1

    position, _ = tf.while_loop(is_other_segment, next_segment, (tf.minimum(2, end), 0))
    tiff = data[position + 10 : tf.minimum(position + length(position), end)]
    none = tf.constant(1, tf.int64)
    return tf.cond(is_exif(position), lambda: _tiff_orientation(tiff), lambda: none)


def _tiff_orientation(tiff: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in the first directory of TIFF data uint8 [n]: int64 scalar."""
    size = tf.shape(tiff, out_type=tf.int64)[0]
    tiff = tf.pad(tiff, [[0, _PADDING_BYTES]])
    is_little_endian = tiff[0] == ord("I")

    def number(part: tf.Tensor) -> tf.Tensor:
        return tf.where(is_little_endian, _little_endian(part), _big_endian(part))

    is_tiff = (_matches(tiff, 0, b"II") | _matches(tiff, 0, b"MM")) & (number(tiff[2:4]) == 42)
    start = tf.minimum(number(tiff[4:8]), size)
    count = number(tiff[start : start + 2])
    entries = tiff[start + 2 : tf.minimum(start + 2 + 12 * count, size)]
    rows = tf.shape(entries)[0] // 12
    entries = tf.reshape(entries[: 12 * rows], (rows, 12))
    tag, kind, values = number(entries[:, :2]), number(entries[:, 2:4]), number(entries[:, 4:8])
    value = tf.where(kind == _SHORT, number(entries[:, 8:10]), number(entries[:, 8:12]))
    is_orientation = (
        is_tiff
        & (tag == _ORIENTATION_TAG)
        & ((kind == _SHORT) | (kind == _LONG))
        & (values == 1)
        & (value >= 1)
        & (value <= 8)
    )
    return tf.concat([[1], tf.boolean_mask(value, is_orientation)], axis=0)[-1]


def _webp_size(header: tf.Tensor) -> tf.Tensor:
    """Returns height and width of a WebP image: int64 [2]."""
    extended = 1 + tf.stack([_little_endian(header[27:30]), _little_endian(header[24:27])])
    bits = _little_endian(header[21:25])
    lossless = 1 + tf.stack([bits // 2**14 % 2**14, bits % 2**14])
    lossy = tf.stack([_little_endian(header[28:30]), _little_endian(header[26:28])]) % 2**14
    sizes = tf.stack([extended, lossless, lossy])
    is_used = tf.stack([_matches(header, 12, kind) for kind in (b"VP8X", b"VP8L", b"VP8 ")])
    known = tf.debugging.Assert(tf.reduce_any(is_used), ["the WebP file is damaged"])
    with tf.control_dependencies([known]):
        return tf.boolean_mask(sizes, is_used)[0]


def _bmp_size(header: tf.Tensor) -> tf.Tensor:
    """Returns height and width of a BMP image: int64 [2]."""
    size = tf.stack([_little_endian(header[22:26]), _little_endian(header[18:22])])
    # The height is negative if rows are stored from the top.
    return tf.where(size < 2**31, size, 2**32 - size)


def _gif_size(content: tf.Tensor) -> tf.Tensor:
    """Returns the largest height and width of a GIF's frames: int64 [2].

    All frames are visited, since the screen size in the header does not bound them.
    """
    data = tf.cast(_padded_bytes(content), tf.int32)
    last = tf.shape(data)[0] - 1
    # Frames and extensions are chains of sub-blocks, each a length and so many bytes; 0 ends one.
    # ends[i] is the end of a chain that starts at i, found by doubling the distance of each jump.
    positions = tf.range(last + 1)
    jumps = tf.where(data == 0, positions, tf.minimum(positions + 1 + data, last))

    def double(jumps: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        doubled = tf.gather(jumps, jumps)
        return doubled, tf.reduce_any(doubled != jumps)

    ends, _ = tf.while_loop(lambda _, is_changed: is_changed, double, (jumps, True))

    def at(position: tf.Tensor) -> tf.Tensor:
        return data[tf.minimum(position, last)]

    def color_table_bytes(flags: tf.Tensor) -> tf.Tensor:
        return tf.where(flags >= 0x80, 3 * tf.bitwise.left_shift(2, flags % 8), 0)

    def is_block(position: tf.Tensor, blocks: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        is_known = (at(position) == ord("!")) | (at(position) == ord(","))
        return is_known & (blocks < _MAX_GIF_BLOCKS)

    def next_block(
        position: tf.Tensor, blocks: tf.Tensor, size: tf.Tensor, total: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        is_frame = at(position) == ord(",")
        frame = tf.stack([at(position + k) + 256 * at(position + k + 1) for k in (7, 5)])
        frame = tf.where(is_frame, tf.cast(frame, tf.int64), 0)
        # Before its chain, a frame has position, size, flags, colors and its first code's size.
        skipped = tf.where(is_frame, 11 + color_table_bytes(at(position + 9)), 2)
        end = ends[tf.minimum(position + skipped, last)]
        return end + 1, blocks + 1, tf.maximum(size, frame), total + _pixels(frame)

    start = 13 + color_table_bytes(at(tf.constant(10)))
    none = tf.constant(0, tf.int64)
    _, blocks, size, total = tf.while_loop(
        is_block, next_block, (start, 0, tf.stack([none, none]), none)
    )
    is_bounded = (blocks < _MAX_GIF_BLOCKS) & (total <= _MAX_GIF_BYTES)
    return tf.where(is_bounded, size, MAX_PIXELS + 1)


def _padded_bytes(content: tf.Tensor) -> tf.Tensor:
    """Returns a file's bytes, uint8 [n + 16]; the last 16 are 0."""
    return tf.pad(tf.io.decode_raw(content, tf.uint8), [[0, _PADDING_BYTES]])


def _matches(data: tf.Tensor, position: tf.Tensor | int, expected: bytes) -> tf.Tensor:
    """Returns whether the bytes from a position on are `expected`."""
    part = data[position : position + len(expected)]
    return tf.reduce_all(part == tf.constant(list(expected), tf.uint8))


def _big_endian(part: tf.Tensor) -> tf.Tensor:
    """Returns the integer of the bytes along the last axis: int64 [...]."""
    return _little_endian(part[..., ::-1])


def _little_endian(part: tf.Tensor) -> tf.Tensor:
    """Returns the integer of the bytes along the last axis: int64 [...]."""
    shifts = 8 * tf.range(tf.shape(part, tf.int64)[-1])
    return tf.reduce_sum(tf.bitwise.left_shift(tf.cast(part, tf.int64), shifts), axis=-1)


def _pixels(size: tf.Tensor) -> tf.Tensor:
    """Returns height times width, both capped so that the product fits into 64 bits."""
    return tf.reduce_prod(tf.minimum(size, MAX_PIXELS + 1))
