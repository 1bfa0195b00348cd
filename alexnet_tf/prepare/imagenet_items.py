"""ImageNet as it is downloaded: archives of synsets, a devkit with the classes and the truth.

Read where they lie: nothing is unpacked. Understood are, in one folder,
  - ILSVRC2012_img_train.tar, or a folder train/ of synset folders or synset archives;
  - ILSVRC2012_img_val.tar, or a folder val/ of images, flat or in synset folders;
  - ILSVRC2012_devkit_t12.tar.gz, or that unpacked (2010's likewise);
  - instead of the devkit Kaggle's LOC_synset_mapping.txt and LOC_val_solution.csv.
"""

import csv
import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import scipy.io

from alexnet_tf.data.classes import class_identity
from alexnet_tf.errors import InputError
from alexnet_tf.files import printable
from alexnet_tf.imagenet import readable
from alexnet_tf.prepare.folder_items import file_item, source_name, walk
from alexnet_tf.prepare.items import SKIPPED, Item, Problem, Source

_MAX_META_BYTES = 2**20  # a compressed file can hold a thousand times its size
_LONGEST_END = 2**20  # zeros that end an archive: tar fills up its last record
_WNID = re.compile(r"n\d{8}")
_SIGNS = (
    "ILSVRC*_img*_train.tar",
    "ILSVRC*_img*_val.tar",
    "ILSVRC*_devkit*",
    "LOC_synset_mapping.txt",
)
_TRAIN = ("train", "ILSVRC2012_img_train", "ILSVRC2010_images_train", "ILSVRC/Data/CLS-LOC/train")
_VAL = ("val", "ILSVRC2012_img_val", "ILSVRC2010_images_val", "ILSVRC/Data/CLS-LOC/val")
_NAME_LISTS = ("LOC_synset_mapping.txt", "synset_words.txt")


def is_imagenet(root: Path) -> bool:
    """Returns whether a folder holds ImageNet as downloaded."""
    train = root / "train"
    return any(any(root.glob(sign)) for sign in _SIGNS) or (
        train.is_dir() and any(_WNID.fullmatch(path.stem) for path in train.glob("n*.tar"))
    )


def list_imagenet(root: Path) -> Source:
    """Lists the training and validation images; classes are the synsets, sorted by number.

    Raises:
      InputError: The training images are missing, an archive is damaged, or there are validation
        images without their truth.
    """
    problems: list[Problem] = []
    train = _train_items(root, problems)
    if not train:
        raise InputError(
            f"{root} looks like ImageNet but has no training images: expected "
            "ILSVRC2012_img_train.tar, or train/ with synset folders or archives"
        )
    wnids = sorted(train)
    numbers = {wnid: number for number, wnid in enumerate(wnids)}
    kit = _devkit(root)
    splits = {
        "train": [item._replace(label=numbers[w]) for w in wnids for item in train[w]],
    }
    validation = _validation_items(root, kit, numbers, problems)
    if validation:
        splits["validation"] = validation
    names = _class_names(root, kit, wnids)
    return Source(source_name(root), root, names, splits, problems)


def _train_items(root: Path, problems: list[Problem]) -> dict[str, list[Item]]:
    """Returns the training images by synset; their labels are not set yet."""
    found: dict[str, list[Item]] = {}
    archives = sorted(root.glob("ILSVRC*_img*_train.tar"))
    for archive in archives:
        for member in _members(archive):
            wnid = PurePosixPath(member.name).stem
            if _WNID.fullmatch(wnid) and member.name.endswith(".tar") and member.isfile():
                at = member.offset_data
                found[wnid] = _archived(root, archive, problems, "train", at, at + member.size)
            elif not member.isdir():
                problems.append(Problem("train", printable(member.name), "in no synset", SKIPPED))
    for folder in [] if archives else _existing(root, _TRAIN):
        for path in sorted(folder.iterdir()):
            if path.is_dir() and _WNID.fullmatch(path.name):
                found[path.name] = list(walk(root, path, 0, "train", problems))
            elif path.suffix == ".tar" and _WNID.fullmatch(path.stem):
                found[path.stem] = _archived(root, path, problems, "train")
            else:
                name = printable(str(path.relative_to(root)))
                problems.append(Problem("train", name, "in no synset", SKIPPED))
    return found


def _validation_items(
    root: Path, kit: dict[str, bytes], numbers: dict[str, int], problems: list[Problem]
) -> list[Item]:
    """Returns the validation images with their labels."""
    items: list[Item] = []
    archives = sorted(root.glob("ILSVRC*_img*_val.tar"))
    for archive in archives:
        items += _archived(root, archive, problems, "validation")
    for folder in [] if archives else _existing(root, _VAL):
        for path in sorted(folder.iterdir()):
            if path.is_dir() and path.name in numbers:
                items += walk(root, path, numbers[path.name], "validation", problems)
                continue
            item = file_item(root, str(path.relative_to(root)), -1)
            if isinstance(item, Item):
                items.append(item)
            else:
                name = printable(str(path.relative_to(root)))
                problems.append(Problem("validation", name, item, SKIPPED))
    if all(item.label >= 0 for item in items if item.container == "") and not archives:
        return items
    truth = _truth(root, kit)
    labeled = []
    for item in items:
        wnid = truth.get(PurePosixPath(item.name).stem)
        if item.label >= 0 and not item.container:
            labeled.append(item)
        elif wnid in numbers:
            labeled.append(item._replace(label=numbers[wnid]))
        else:
            why = "not in the ground truth" if wnid is None else f"synset {wnid} is not in train"
            problems.append(Problem("validation", printable(item.name), why, SKIPPED))
    return labeled


def _truth(root: Path, kit: dict[str, bytes]) -> dict[str, str]:
    """Returns the validation images' synsets by the file's name without ending.

    Raises:
      InputError: Nothing says them.
    """
    solution = root / "LOC_val_solution.csv"
    if solution.is_file():
        return _solution(solution)
    lists = [name for name in kit if name.endswith("validation_ground_truth.txt")]
    if "meta.mat" not in kit or not lists:
        raise InputError(
            f"{root} has validation images without their truth: put "
            "ILSVRC2012_devkit_t12.tar.gz beside them"
        )
    year = lists[0].split("_")[0]
    wnid_of = {number: wnid for number, wnid, _ in _synsets(root, kit)}
    try:
        numbers = [int(number) for number in kit[lists[0]].split()]
    except ValueError as error:
        raise _damaged(root / lists[0], error) from None
    return {
        f"{year}_val_{place:08d}": wnid_of.get(number, str(number))
        for place, number in enumerate(numbers, 1)
    }


def _solution(path: Path) -> dict[str, str]:
    """Returns the validation images' synsets by the file's name, from Kaggle's table.

    Raises:
      InputError: It is damaged.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            truth = {}
            for row in rows:
                image, synset = row.get("ImageId"), (row.get("PredictionString") or "").split()
                if not image or not synset:
                    raise csv.Error(f"no ImageId and PredictionString in line {rows.line_num}")
                truth[image] = synset[0]
    except (csv.Error, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None
    return truth


def _class_names(root: Path, kit: dict[str, bytes], wnids: list[str]) -> tuple[str, ...]:
    """Returns the synsets' words; with the WordNet id behind where the words do not imply it.

    So the id of every class stays known in the prepared set and in models trained on it (see
    `data.classes`). Without a list of words, the thousand classes of 2012 have the names of
    `alexnet_tf.imagenet`.
    """
    words: dict[str, str] = {}
    for path in (root / name for name in _NAME_LISTS):
        if not words and path.is_file():
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError as error:
                raise _damaged(path, error) from None
            words = {line[:9]: line[10:].strip() for line in lines if _WNID.match(line)}
    if not words and "meta.mat" in kit:
        words = {wnid: text for _, wnid, text in _synsets(root, kit)}
    names = readable([words.get(wnid) or wnid for wnid in wnids])
    return tuple(
        name if identity == wnid else f"{name} ({wnid})"
        for name, identity, wnid in zip(names, map(class_identity, names), wnids, strict=True)
    )


def _synsets(root: Path, kit: dict[str, bytes]) -> Iterator[tuple[int, str, str]]:
    """Yields number, WNID and words of each synset of the devkit's meta.mat."""
    content, name = kit["meta.mat"], f"meta.mat of the devkit in {root}"
    if len(content) > _MAX_META_BYTES:
        raise InputError(f"{name} is larger than {_MAX_META_BYTES // 2**20} MiB")
    try:
        rows = scipy.io.loadmat(
            io.BytesIO(content), variable_names=["synsets"], simplify_cells=True
        )["synsets"]
        for row in np.atleast_1d(rows):
            number = next(value for key, value in row.items() if key.endswith("_ID"))
            yield int(number), str(row["WNID"]), str(row["words"])
    except KeyError as error:
        raise InputError(f"{name} is damaged: {error.args[0]} not found") from None
    except Exception as error:  # SciPy raises what its parsers meet in a damaged file
        raise InputError(f"{name} is damaged: {error or type(error).__name__}") from None


def _devkit(root: Path) -> dict[str, bytes]:
    """Returns the devkit's meta.mat and ground truth by file name, packed or not."""
    wanted = re.compile(r"meta\.mat|.*validation_ground_truth\.txt")
    for path in sorted(root.glob("ILSVRC*_devkit*")):
        if path.is_dir():
            files = [f for f in path.rglob("*") if wanted.fullmatch(f.name)]
            return {file.name: file.read_bytes() for file in files}
        kit = {}
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    name = PurePosixPath(member.name).name
                    file = archive.extractfile(member) if wanted.fullmatch(name) else None
                    if file is not None:
                        kit[name] = file.read()
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _damaged(path, error) from None
        return kit
    return {}


def _archived(
    root: Path,
    archive: Path,
    problems: list[Problem],
    split: str,
    at: int = 0,
    end: int | None = None,
) -> list[Item]:
    """Returns the files of an archive that lies in the bytes from `at` to `end` of a file."""
    changed = archive.stat().st_mtime_ns
    container = str(archive.relative_to(root))
    items = []
    for member in _members(archive, at, end):
        if member.isfile():
            place = member.offset_data
            items.append(Item(member.name, -1, member.size, changed, container, place))
        elif not member.isdir():
            problems.append(Problem(split, printable(member.name), "no regular file", SKIPPED))
    return items


def _members(archive: Path, at: int = 0, end: int | None = None) -> Iterator[tarfile.TarInfo]:
    """Yields what is in an uncompressed archive; reads the headers alone.

    Raises:
      InputError: It is damaged. tarfile takes any header but the first that it cannot read for the
        end, and would lose all that lies behind it.
    """
    try:
        with archive.open("rb") as file:
            file.seek(at)
            with tarfile.open(fileobj=file, mode="r:") as opened:
                yield from opened
                file.seek(opened.offset)
            length = (archive.stat().st_size if end is None else end) - file.tell()
            rest = file.read(max(0, min(length, _LONGEST_END + 1)))
    except tarfile.TarError as error:
        raise _damaged(archive, error) from None
    if len(rest) < tarfile.BLOCKSIZE or len(rest) > _LONGEST_END or any(rest):
        raise _damaged(archive, tarfile.ReadError(f"no end at byte {opened.offset:,}"))


def _damaged(archive: Path, error: Exception) -> InputError:
    """Returns the error for an archive that cannot be read."""
    return InputError(f"{archive} is damaged or cut short ({error}): download it again")


def _existing(root: Path, names: tuple[str, ...]) -> list[Path]:
    """Returns the first of these folders that is there, in a list, or an empty list."""
    return [root / name for name in names if (root / name).is_dir()][:1]
