"""Reads the headers of image files inside the served graph: size and EXIF orientation.

TensorFlow has an operation for the size of a JPEG file only. The rest is read byte by byte.
"""

from collections.abc import Callable

import tensorflow as tf

from alexnet_tf.data.decode import MAX_PIXELS

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


def switch_format(content: tf.Tensor, **branches: Callable[[], tf.Tensor]) -> tf.Tensor:
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

    Args:
      content: string scalar.

    Raises:
      tf.errors.InvalidArgumentError: When run, for more than `MAX_PIXELS` pixels, and for a file in
        another format.
    """
    size = _image_size(content)
    pixels = _pixels(size)
    fits = tf.debugging.Assert(
        pixels <= MAX_PIXELS,
        [f"an image has more than {MAX_PIXELS} pixels; height and width:", size],
    )
    with tf.control_dependencies([fits]):
        return tf.identity(pixels)


def _image_size(content: tf.Tensor) -> tf.Tensor:
    """Returns height and width that the decoder allocates for an image file: int64 [2].

    Raises:
      tf.errors.InvalidArgumentError: When run, for a file in another format.
    """
    header = _padded_bytes(tf.strings.substr(content, 0, _HEADER_BYTES))

    def other_size() -> tf.Tensor:
        is_bmp, is_gif = _matches(header, 0, b"BM"), _matches(header, 0, b"GIF8")
        known = tf.debugging.Assert(
            is_bmp | is_gif, ["an image is damaged, or is not JPEG, PNG, WebP, GIF or BMP"]
        )
        with tf.control_dependencies([known]):
            return tf.cond(is_bmp, lambda: _bmp_size(header), lambda: _gif_size(content))

    return switch_format(
        content,
        jpeg=lambda: tf.image.extract_jpeg_shape(content, tf.int64)[:2],
        png=lambda: tf.stack([_big_endian(header[20:24]), _big_endian(header[16:20])]),
        webp=lambda: _webp_size(header),
        other=other_size,
    )


def exif_orientation(content: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation of a JPEG file: int64 scalar in 1..8, 1 if there is none.

    Args:
      content: string scalar.
    """
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
    """Returns height and width of a WebP image, int64 [2]."""
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
    """Returns height and width of a BMP image, int64 [2]; rows stored from the top are negative."""
    size = tf.stack([_little_endian(header[22:26]), _little_endian(header[18:22])])
    return tf.where(size < 2**31, size, 2**32 - size)


def _gif_size(content: tf.Tensor) -> tf.Tensor:
    """Returns what the decoder allocates for a GIF: the frames' largest height and width.

    The screen size in a GIF's header does not bound its frames, so that all of them are visited.
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
        # A frame has its place, size and flags, colors and the first code's size before its chain.
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
    """Returns whether the bytes from a position on, at most the end of a file, are these."""
    part = data[position : position + len(expected)]
    return tf.reduce_all(part == tf.constant(list(expected), tf.uint8))


def _big_endian(part: tf.Tensor) -> tf.Tensor:
    """Returns the number that the bytes along the last axis make: int64 [...]."""
    return _little_endian(part[..., ::-1])


def _little_endian(part: tf.Tensor) -> tf.Tensor:
    """Returns the number that the bytes along the last axis make: int64 [...]."""
    shifts = 8 * tf.range(tf.shape(part, tf.int64)[-1])
    return tf.reduce_sum(tf.bitwise.left_shift(tf.cast(part, tf.int64), shifts), axis=-1)


def _pixels(size: tf.Tensor) -> tf.Tensor:
    """Returns height times width, both capped so that the product fits into 64 bits."""
    return tf.reduce_prod(tf.minimum(size, MAX_PIXELS + 1))
