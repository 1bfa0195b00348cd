"""ImageNet as downloaded: archives of synsets, and a devkit with classes and ground truth.

Archives are read in place, not unpacked. One folder may contain:
  - ILSVRC2012_img_train.tar, or a folder train/ of synset folders or synset archives;
  - ILSVRC2012_img_val.tar, or a folder val/ of images, flat or in synset folders;
  - ILSVRC2012_devkit_t12.tar.gz, packed or unpacked (likewise for 2010);
  - instead of the devkit, Kaggle's LOC_synset_mapping.txt and LOC_val_solution.csv.
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
from alexnet_tf.imagenet import readable
from alexnet_tf.prepare.source import Item, Source

_MAX_META_BYTES = 2**20  # a compressed file can unpack to a thousand times its size
_MAX_END_BYTES = 2**20  # of zeros at the end of an archive: tar fills up its last record
_WNID = re.compile(r"n\d{8}")
_IMAGENET_FILES = (
    "ILSVRC*_img*_train.tar",
    "ILSVRC*_img*_val.tar",
    "ILSVRC*_devkit*",
    "LOC_synset_mapping.txt",
)
_TRAIN = ("train", "ILSVRC2012_img_train", "ILSVRC2010_images_train", "ILSVRC/Data/CLS-LOC/train")
_VAL = ("val", "ILSVRC2012_img_val", "ILSVRC2010_images_val", "ILSVRC/Data/CLS-LOC/val")
_NAME_LISTS = ("LOC_synset_mapping.txt", "synset_words.txt")
_DEVKIT_FILES = re.compile(r"meta\.mat|.*validation_ground_truth\.txt")


def is_imagenet(root: Path) -> bool:
    """Returns whether a folder contains ImageNet as downloaded."""
    train = root / "train"
    return any(any(root.glob(pattern)) for pattern in _IMAGENET_FILES) or (
        train.is_dir() and any(_WNID.fullmatch(path.stem) for path in train.glob("n*.tar"))
    )


def list_imagenet(root: Path) -> Source:
    """Lists the training and validation images; classes are the synsets, sorted by WordNet id.

    Raises:
      InputError: Images or labels were not found, or a file is damaged.
    """
    source = Source(root)
    train = _train_items(source)
    if not train:
        raise InputError(
            f"{root} looks like ImageNet but has no training images: expected "
            "ILSVRC2012_img_train.tar, or train/ with synset folders or archives"
        )
    labels = {wnid: label for label, wnid in enumerate(sorted(train))}
    source.splits["train"] = [
        item._replace(label=label) for wnid, label in labels.items() for item in train[wnid]
    ]
    devkit = _read_devkit(root)
    validation = _validation_items(source, devkit, labels)
    if validation:
        source.splits["validation"] = validation
    source.class_names = _class_names(root, devkit, list(labels))
    return source


def _train_items(source: Source) -> dict[str, list[Item]]:
    """Returns the training images by synset, without labels."""
    items: dict[str, list[Item]] = {}
    archives = sorted(source.root.glob("ILSVRC*_img*_train.tar"))
    for archive in archives:
        for member in _members(archive):
            wnid = PurePosixPath(member.name).stem
            if _WNID.fullmatch(wnid) and member.name.endswith(".tar") and member.isfile():
                start = member.offset_data
                items[wnid] = _archived(source, archive, "train", start, start + member.size)
            elif not member.isdir():
                source.add_problem("train", member.name, "in no synset")
    for path in [] if archives else _entries(source.root, _TRAIN):
        if path.is_dir() and _WNID.fullmatch(path.name):
            items[path.name] = list(source.walk(path, 0, "train"))
        elif path.suffix == ".tar" and _WNID.fullmatch(path.stem):
            items[path.stem] = _archived(source, path, "train")
        else:
            source.add_problem("train", path, "in no synset")
    return items


def _validation_items(
    source: Source, devkit: dict[str, bytes], labels: dict[str, int]
) -> list[Item]:
    """Returns the validation images with their labels."""
    items: list[Item] = []
    unlabeled: list[Item] = []
    archives = sorted(source.root.glob("ILSVRC*_img*_val.tar"))
    for archive in archives:
        unlabeled += _archived(source, archive, "validation")
    for path in [] if archives else _entries(source.root, _VAL):
        if path.is_dir() and path.name in labels:
            items += source.walk(path, labels[path.name], "validation")
            continue
        item = source.file_item(path, -1)
        if isinstance(item, Item):
            unlabeled.append(item)
        else:
            source.add_problem("validation", path, item)
    truth = _ground_truth(source.root, devkit) if unlabeled else {}
    for item in unlabeled:
        wnid = truth.get(PurePosixPath(item.name).stem)
        if wnid in labels:
            items.append(item._replace(label=labels[wnid]))
        else:
            reason = "not in the ground truth" if wnid is None else f"no synset {wnid} in train"
            source.add_problem("validation", item.name, reason)
    return items


def _ground_truth(root: Path, devkit: dict[str, bytes]) -> dict[str, str]:
    """Returns the validation images' synsets by file name without extension."""
    solution = root / "LOC_val_solution.csv"
    if solution.is_file():
        return _kaggle_ground_truth(solution)
    lists = [name for name in devkit if name.endswith("validation_ground_truth.txt")]
    if "meta.mat" not in devkit or not lists:
        raise InputError(
            f"{root} has validation images without ground truth: put "
            "ILSVRC2012_devkit_t12.tar.gz beside them"
        )
    year = lists[0].split("_")[0]
    wnids = {synset: wnid for synset, wnid, _ in _synsets(root, devkit)}
    try:
        synsets = [int(number) for number in devkit[lists[0]].split()]
    except ValueError as error:
        raise _damaged(root / lists[0], error) from None
    return {
        f"{year}_val_{image:08d}": wnids.get(synset, str(synset))
        for image, synset in enumerate(synsets, 1)
    }


def _kaggle_ground_truth(path: Path) -> dict[str, str]:
    truth = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            for row in table:
                image, synsets = row.get("ImageId"), (row.get("PredictionString") or "").split()
                if not image or not synsets:
                    raise csv.Error(f"no ImageId or PredictionString in line {table.line_num}")
                truth[image] = synsets[0]
    except (csv.Error, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None
    return truth


def _class_names(root: Path, devkit: dict[str, bytes], wnids: list[str]) -> tuple[str, ...]:
    """Returns the synsets' words, followed by the WordNet id where the words do not imply it.

    Models trained on the prepared set thus keep the id of every class (see `data.classes`). Without
    a list of words, the 1000 classes of 2012 have the names of `alexnet_tf.imagenet`.
    """
    words: dict[str, str] = {}
    for path in (root / name for name in _NAME_LISTS):
        if not words and path.is_file():
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError as error:
                raise _damaged(path, error) from None
            words = {line[:9]: line[10:].strip() for line in lines if _WNID.match(line)}
    if not words and "meta.mat" in devkit:
        words = {wnid: text for _, wnid, text in _synsets(root, devkit)}
    names = readable([words.get(wnid) or wnid for wnid in wnids])
    return tuple(
        name if class_identity(name) == wnid else f"{name} ({wnid})"
        for name, wnid in zip(names, wnids, strict=True)
    )


def _synsets(root: Path, devkit: dict[str, bytes]) -> Iterator[tuple[int, str, str]]:
    """Yields the number, WordNet id and words of each synset in the devkit's meta.mat."""
    content, name = devkit["meta.mat"], f"meta.mat of the devkit in {root}"
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
    except Exception as error:  # SciPy's parsers raise many kinds for damaged files
        raise InputError(f"{name} is damaged: {error or type(error).__name__}") from None


def _read_devkit(root: Path) -> dict[str, bytes]:
    """Returns the devkit's meta.mat and ground truth by file name; {} without a devkit."""
    for path in sorted(root.glob("ILSVRC*_devkit*")):
        if path.is_dir():
            files = [f for f in path.rglob("*") if _DEVKIT_FILES.fullmatch(f.name)]
            return {file.name: file.read_bytes() for file in files}
        contents = {}
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    name = PurePosixPath(member.name).name
                    if _DEVKIT_FILES.fullmatch(name) and (file := archive.extractfile(member)):
                        contents[name] = file.read()
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _damaged(path, error) from None
        return contents
    return {}


def _archived(
    source: Source, archive: Path, split: str, start: int = 0, end: int | None = None
) -> list[Item]:
    """Returns the files of the archive in the bytes from `start` to `end` of a file."""
    modified = archive.stat().st_mtime_ns
    container = str(archive.relative_to(source.root))
    items = []
    for member in _members(archive, start, end):
        if member.isfile():
            offset = member.offset_data
            items.append(Item(member.name, -1, member.size, modified, container, offset))
        elif not member.isdir():
            source.add_problem(split, member.name, "not a regular file")
    return items


def _members(archive: Path, start: int = 0, end: int | None = None) -> Iterator[tarfile.TarInfo]:
    """Yields the members of an uncompressed archive; reads only their headers.

    tarfile treats every unreadable header but the first as the end of the archive, which would lose
    the members after it: they raise InputError.
    """
    try:
        with archive.open("rb") as file:
            file.seek(start)
            with tarfile.open(fileobj=file, mode="r:") as opened:
                yield from opened
                file.seek(opened.offset)
            length = (archive.stat().st_size if end is None else end) - file.tell()
            rest = file.read(max(0, min(length, _MAX_END_BYTES + 1)))
    except tarfile.TarError as error:
        raise _damaged(archive, error) from None
    if len(rest) < tarfile.BLOCKSIZE or len(rest) > _MAX_END_BYTES or any(rest):
        raise _damaged(archive, tarfile.ReadError(f"no end at byte {opened.offset:,}"))


def _damaged(file: Path, error: Exception) -> InputError:
    return InputError(f"{file} is damaged or cut short ({error}): download it again")


def _entries(root: Path, names: tuple[str, ...]) -> list[Path]:
    """Returns what is in the first of these folders that exists, sorted by name."""
    folder = next((root / name for name in names if (root / name).is_dir()), None)
    return sorted(folder.iterdir()) if folder else []
