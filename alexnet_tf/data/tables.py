"""Tables of images and their classes, in the forms in which data sets have them.

  - A header that names a column for the file and one for the label, and optionally one for the
    split: `split` (train, val, test) or `is_valid` (true or false, as fastai has it).
  - A header that names a column for the file and one per class, with a single 1 in each row (ISIC).
  - No header: file and label, as `val_annotations.txt` of Tiny ImageNet and Caffe's `train.txt`.

Cells are separated by commas, semicolons or tabs; by the last blank in a line without these.
"""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from alexnet_tf.errors import InputError
from alexnet_tf.files import is_image, printable

TABLE_ENDINGS = (".csv", ".tsv")
LIST_ENDING = ".txt"  # a table in some data sets, and anything else in others
_MAX_TABLE_BYTES = 2**28
_MAX_SAMPLE_LETTERS = 20

_FILE_COLUMNS = (
    *("file", "filename", "file_name", "fname", "path", "filepath", "file_path", "image_path"),
    *("image", "imageid", "image_id", "image_name", "img", "id", "id_code", "name"),
)
_LABEL_COLUMNS = (
    *("label", "labels", "class", "class_name", "classid", "class_id", "category", "target"),
    *("species", "breed", "diagnosis", "dx", "predictionstring", "wnid", "synset"),
)
_SPLIT_COLUMNS = ("split", "set", "subset")
_VALIDATION_COLUMNS = ("is_valid", "is_val", "is_validation")
_YES = ("1", "1.0", "true", "yes")
_NO = ("0", "0.0", "false", "no")

# The longer marks first: UTF-32's begins with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


class Row(NamedTuple):
    """A row of a table; "" stands for what it does not have."""

    line: int  # in the file, from 1
    file: str  # the image's name or path, as written
    label: str
    split: str = ""  # in lower case
    problem: str = ""  # why it has no label, if not because the cell is empty


def read_table(path: Path, encoding: str | None = None) -> list[Row] | None:
    """Returns the rows of a table of images and classes; None if the file is not such a table.

    `encoding` None is UTF-8; a byte order mark takes precedence. Empty rows are skipped.

    Raises:
      InputError: The file is too large, is not text in this encoding, or is not CSV.
    """
    lines = _read_cells(path, _read_text(path, encoding))
    if not lines:
        return None
    header = [cell.lower() for cell in lines[0][1]]
    file = _index(header, _FILE_COLUMNS)
    if file is None:
        first = lines[0][1]
        if len(first) > 1 and is_image(first[0].replace("\\", "/")):
            return [Row(line, *[*cells, "", ""][:2]) for line, cells in lines]
        return None
    label = _index(header, _LABEL_COLUMNS)
    if label is None:
        return _one_hot_rows(lines, header, file)
    rows = []
    for line, cells in lines[1:]:
        text = _cell(cells, label)
        if header[label] == "predictionstring":  # the class is followed by a box
            text = text.partition(" ")[0]
        rows.append(Row(line, _cell(cells, file), text, _split(cells, header)))
    return rows


def check_encoding(encoding: str | None) -> None:
    """Raises InputError if Python does not know a text encoding of this name."""
    try:
        "".encode("utf-8" if encoding is None else encoding)
    except LookupError:
        raise InputError(
            f"--encoding {encoding}: unknown encoding: give one such as gbk, latin-1 or utf-16"
        ) from None


def _one_hot_rows(
    lines: Sequence[tuple[int, list[str]]], header: Sequence[str], file: int
) -> list[Row] | None:
    """Returns the rows of a table with a column of 0 and 1 per class; None if it has none."""
    others = {file, _index(header, _SPLIT_COLUMNS), _index(header, _VALIDATION_COLUMNS)}
    columns = [
        column
        for column, title in enumerate(header)
        if column not in others
        and title
        and not title.startswith("unnamed:")  # the index column of a pandas table
        and all(_cell(cells, column).lower() in (*_YES, *_NO) for _, cells in lines[1:])
    ]
    rows = []
    for line, cells in lines[1:]:
        classes = [lines[0][1][c] for c in columns if _cell(cells, c).lower() in _YES]
        label = classes[0] if len(classes) == 1 else ""
        problem = "" if label else "row with several classes" if classes else "row without class"
        rows.append(Row(line, _cell(cells, file), label, _split(cells, header), problem))
    return rows if len(columns) > 1 and any(row.label for row in rows) else None


def _split(cells: Sequence[str], header: Sequence[str]) -> str:
    """Returns a row's split in lower case, "" if the table does not name it."""
    split = _cell(cells, _index(header, _SPLIT_COLUMNS)).lower()
    is_valid = _cell(cells, _index(header, _VALIDATION_COLUMNS)).lower()
    return split or {**dict.fromkeys(_YES, "val"), **dict.fromkeys(_NO, "train")}.get(
        is_valid, is_valid
    )


def _cell(cells: Sequence[str], column: int | None) -> str:
    """Returns a row's cell, "" if the row is too short or the table lacks the column."""
    return cells[column] if column is not None and column < len(cells) else ""


def _index(header: Sequence[str], names: Sequence[str]) -> int | None:
    """Returns the index of the first of these names that the header has."""
    return next((header.index(name) for name in names if name in header), None)


def _read_cells(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """Returns the stripped cells of each line that is not empty, with the line's number."""
    first = text.lstrip("\n").partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    if delimiter not in first:
        numbered = enumerate(text.splitlines(), 1)
        return [(number, line.rsplit(None, 1)) for number, line in numbered if line.strip()]
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise InputError(f"{printable(str(path))} is not a CSV file: {error}") from None


def _read_text(path: Path, encoding: str | None) -> str:
    """Returns a file's text, decoded as its byte order mark or else `encoding` says."""
    name = printable(str(path))
    if path.stat().st_size > _MAX_TABLE_BYTES:
        raise InputError(f"{name} is too large for a table of labels")
    content = path.read_bytes()
    marked = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), None)
    used = marked or encoding or "utf-8"
    try:
        text = content.decode(used)
    except UnicodeDecodeError:
        text = None
    # UTF-16 without a byte order mark decodes as UTF-8: every other byte of ASCII text is 0.
    if text is not None and text.count("\0") <= len(text) // 4:
        return text
    detected, word = _detect_encoding(content)
    reads = f"which reads {word!r} in it" if word else "which fits"
    raise InputError(
        f"{name} is not {used.upper()} text: save it as UTF-8"
        + ("" if marked else f", or give `prepare` --encoding {detected}, {reads}")
    )


def _detect_encoding(content: bytes) -> tuple[str, str]:
    """Returns the encoding that fits a text that is not UTF-8, and a word as it reads it.

    GBK writes Chinese in pairs of bytes above 127; in Western European texts these bytes are alone.
    """
    runs = re.findall(rb"[\x80-\xff]+", content)
    zeros = content[::2].count(0), content[1::2].count(0)
    if max(zeros) > len(content) // 4:
        encoding = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    elif sum(len(run) % 2 == 0 for run in runs) > len(runs) * 0.8 and _decodes(content, "gbk"):
        encoding = "gbk"
    else:
        # 0x80 to 0x9f are letters and quotes in Windows' encoding, and unused in Latin-1.
        has_windows_letters = re.search(rb"[\x80-\x9f]", content) and _decodes(content, "cp1252")
        encoding = "cp1252" if has_windows_letters else "latin-1"
    text = content.decode(encoding, "replace")
    word = re.search(r"\w*[^\W\x00-\x7f]\w*", text)
    return encoding, word.group()[:_MAX_SAMPLE_LETTERS] if word else ""


def _decodes(content: bytes, encoding: str) -> bool:
    """Returns whether bytes are text in an encoding."""
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
