"""Reading tables from MATLAB 5 files: ImageNet's development kit keeps its classes in one."""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

from alexnet_tf.errors import InputError

_HEADER_BYTES = 128
_COMPRESSED, _MATRIX = 15, 14
_STRUCT, _CHAR = 2, 4  # classes of a matrix
# Types of elements: NumPy-like codes of `struct`; 16 to 18 are Unicode texts.
_CODES = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
_TEXTS = {16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}


def read_table(content: bytes, variable: str) -> list[dict[str, Any]]:
    """Reads a struct array: a row for each of its elements.

    Args:
      content: The file's bytes.
      variable: Name of the array.

    Returns:
      Rows by field name; texts as str, numbers as one number or a tuple of numbers.

    Raises:
      InputError: It is no such file, or has no such array.
    """
    if content[126:128] != b"IM":
        raise InputError("no MATLAB 5 file of this byte order")
    try:
        for kind, data in _elements(content[_HEADER_BYTES:]):
            name, value = _matrix(data) if kind == _MATRIX else ("", None)
            if name == variable and isinstance(value, list):
                return value
    except (struct.error, zlib.error, IndexError, UnicodeDecodeError) as error:
        raise InputError(f"damaged MATLAB file: {error}") from None
    raise InputError(f"no table {variable!r} in the MATLAB file")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields each element's type and data; compressed ones are decompressed."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:  # short form: size and type share four bytes, the data are the next four
            size, kind = kind >> 16, kind & 0xFFFF
            yield kind, data[at + 4 : at + 4 + size]
            at += 8
            continue
        content = data[at + 8 : at + 8 + size]
        if len(content) < size:
            raise struct.error("cut short")
        if kind == _COMPRESSED:
            yield from _elements(zlib.decompress(content))
            at += 8 + size
        else:
            yield kind, content
            at += 8 + size + -size % 8


def _matrix(data: bytes) -> tuple[str, Any]:
    """Returns a matrix's name and value."""
    elements = _elements(data)
    if not data:
        return "", ()
    flags = next(elements)[1]
    next(elements)  # its shape
    name = next(elements)[1].decode("ascii")
    kind = flags[0]
    if kind == _STRUCT:
        return name, _rows(elements)
    kind_of_data, content = next(elements, (1, b""))
    if kind_of_data in _TEXTS:
        return name, content.decode(_TEXTS[kind_of_data])
    if kind_of_data not in _CODES:
        return name, ()
    code = _CODES[kind_of_data]
    values = struct.unpack(f"<{len(content) // struct.calcsize(code)}{code}", content)
    if kind == _CHAR:
        return name, "".join(map(chr, values))
    return name, values[0] if len(values) == 1 else values


def _rows(elements: Iterator[tuple[int, bytes]]) -> list[dict[str, Any]]:
    """Returns the rows of a struct array whose field names come next."""
    length = struct.unpack("<i", next(elements)[1])[0]
    packed = next(elements)[1]
    names = [
        packed[at : at + length].split(b"\0")[0].decode() for at in range(0, len(packed), length)
    ]
    values = [_matrix(content)[1] for _, content in elements]
    return [
        dict(zip(names, values[at : at + len(names)], strict=True))
        for at in range(0, len(values), len(names))
    ]
