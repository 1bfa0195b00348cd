"""ImageNet as downloaded, and the MATLAB table of its devkit."""

import io
import tarfile

import numpy as np
import pytest
import scipy.io
from hostile import encoded, photo
from listing import skipped

from alexnet_tf.errors import InputError
from alexnet_tf.prepare.source import read_item
from alexnet_tf.prepare.sources import list_source

WNIDS = ("n01440764", "n02012849", "n03126707")
WORDS = {"n01440764": "tench, Tinca tinca", "n02012849": "crane", "n03126707": "crane"}


def tar_of(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def meta_mat():
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_train_images", "O")]
    rows = np.empty((3, 1), kinds)
    for row, wnid in enumerate(reversed(WNIDS)):  # numbers are in another order than the synsets
        rows[row, 0] = (row + 1, wnid, WORDS[wnid], 1300)
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"synsets": rows}, do_compression=True)
    return buffer.getvalue()


TRUTH = (3, 1, 2, 9)  # the devkit's synset of each validation image


@pytest.fixture(params=["archives", "unpacked", "kaggle"])
def imagenet(request, tmp_path):
    """Three images of each of three synsets, four of validation, as they are downloaded."""
    train = {wnid: {f"{wnid}_{i}.JPEG": encoded(photo(seed=i)) for i in range(3)} for wnid in WNIDS}
    val = {f"ILSVRC2012_val_{i:08d}.JPEG": encoded(photo(seed=9 + i)) for i in range(1, 5)}
    kit = {
        "ILSVRC2012_devkit_t12/data/meta.mat": meta_mat(),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": "".join(
            f"{number}\n" for number in TRUTH
        ).encode(),
    }
    if request.param == "archives":
        whole = tar_of({f"{wnid}.tar": tar_of(files) for wnid, files in train.items()})
        (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(whole)
        (tmp_path / "ILSVRC2012_img_val.tar").write_bytes(tar_of(val))
        with tarfile.open(tmp_path / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
            for name, content in kit.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return tmp_path, train, val
    base = tmp_path if request.param == "unpacked" else tmp_path / "ILSVRC/Data/CLS-LOC"
    files = {f"train/{w}/{name}": c for w, fs in train.items() for name, c in fs.items()}
    for name, content in {**files, **{f"val/{name}": c for name, c in val.items()}}.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(content)
    if request.param == "unpacked":
        for name, content in kit.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
    else:
        lines = "".join(f"{wnid} {words}\n" for wnid, words in WORDS.items())
        (tmp_path / "LOC_synset_mapping.txt").write_text(lines)
        synsets = (*reversed(WNIDS), *["n99999999"] * 6)
        rows = "".join(
            f"ILSVRC2012_val_{i:08d},{synsets[number - 1]} 1 2 3 4\n"
            for i, number in enumerate(TRUTH, 1)
        )
        (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + rows)
    return tmp_path, train, val


def test_imagenet_is_listed_with_labels_in_every_layout(imagenet):
    root, train, val = imagenet
    source = list_source(str(root))
    assert source.class_names == ("tench, Tinca tinca", "crane (n02012849)", "crane")
    contents = {
        item.name.split("/")[-1]: (item.label, read_item(str(root), item))
        for item in source.splits["train"]
    }
    assert contents == {
        name: (label, content)
        for label, wnid in enumerate(WNIDS)
        for name, content in train[wnid].items()
    }
    validation = {
        item.name.split("/")[-1]: (item.label, read_item(str(root), item))
        for item in source.splits["validation"]
    }
    # The devkit numbers the synsets in reverse order; number 9 does not exist.
    labels = {name: 3 - number for name, number in zip(val, TRUTH, strict=True)}
    assert validation == {n: (labels[n], val[n]) for n in list(val)[:3]}
    (problem,) = (text for name, text in skipped(source).items() if name.endswith("4.JPEG"))
    assert "synset" in problem


def test_imagenet_validation_without_ground_truth_is_rejected(tmp_path):
    for wnid in WNIDS:
        path = tmp_path / "train" / f"{wnid}.tar"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tar_of({f"{wnid}_1.JPEG": encoded(photo())}))
    assert len(list_source(str(tmp_path)).splits["train"]) == 3
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG").write_bytes(encoded(photo()))
    with pytest.raises(InputError, match=r"devkit_t12\.tar\.gz"):
        list_source(str(tmp_path))


def test_imagenet_damaged_archive_is_rejected(tmp_path):
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(InputError, match=r"ILSVRC2012_img_train\.tar is damaged"):
        list_source(str(tmp_path))


@pytest.mark.parametrize(
    "damage",
    [
        lambda inner: inner[:1536] + bytes(512) + inner[2048:],  # a header of zeros
        lambda inner: inner[:1536] + b"\xff" * 512 + inner[2048:],
        lambda inner: inner[:1536],  # cut where a file ends
        lambda inner: b"",
        lambda inner: inner + bytes(2**21),  # room that a download never filled
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_imagenet_archive_that_ends_early_is_rejected(damage, packed, tmp_path):
    files = {f"{WNIDS[0]}_{i}.JPEG": bytes(700) for i in range(3)}  # header, two blocks: 1536
    inner = {f"{wnid}.tar": tar_of(files) for wnid in WNIDS}
    inner[f"{WNIDS[1]}.tar"] = damage(inner[f"{WNIDS[1]}.tar"])
    if packed:
        (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(tar_of(inner))
    else:
        (tmp_path / "train").mkdir()
        for name, content in inner.items():
            (tmp_path / "train" / name).write_bytes(content)
    with pytest.raises(InputError, match="is damaged or cut short"):
        list_source(str(tmp_path))


def test_imagenet_archive_members_in_no_synset_are_reported(tmp_path):
    inner = {f"{wnid}.tar": tar_of({f"{wnid}_1.JPEG": bytes(9)}) for wnid in WNIDS}
    whole = tar_of({**inner, "readme.txt": b"x", "n123.tar": b"y"})
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(whole)
    source = list_source(str(tmp_path))
    assert len(source.splits["train"]) == 3
    assert skipped(source) == {"readme.txt": "in no synset", "n123.tar": "in no synset"}


def test_imagenet_without_word_list_uses_known_names(tmp_path):
    known, other = "n01440764", "n99999999"
    inner = {f"{wnid}.tar": tar_of({f"{wnid}_1.JPEG": bytes(9)}) for wnid in (known, other)}
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(tar_of(inner))
    assert list_source(str(tmp_path)).class_names == ("tench", other)


@pytest.mark.parametrize("imagenet", ["archives"], indirect=True)
def test_imagenet_fingerprint_is_independent_of_the_path_spelling(imagenet, monkeypatch):
    root, train, _ = imagenet
    monkeypatch.chdir(root.parent)
    spellings = (str(root), f"./{root.name}", f"{root}/../{root.name}/")
    sources = [list_source(spelling) for spelling in spellings]
    assert len({source.fingerprint() for source in sources}) == 1
    item = sources[1].splits["train"][0]
    contents = {content for files in train.values() for content in files.values()}
    assert read_item(f"./{root.name}", item) in contents


@pytest.mark.parametrize("imagenet", ["kaggle"], indirect=True)
@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("LOC_val_solution.csv", b"ILSVRC2012_val_00000001,n01440764 1 2\n" * 2, "in line 2"),
        ("LOC_val_solution.csv", b"ImageId,PredictionString\na,n1 1\nb,\n", "in line 3"),
        ("LOC_val_solution.csv", b"ImageId,PredictionString\na\n", "in line 2"),
        ("LOC_val_solution.csv", b"ImageId,PredictionString\n\xff\xfe,n1 1\n", "utf-8"),
        ("LOC_synset_mapping.txt", b"n01440764 \xff\n", "utf-8"),
    ],
)
def test_imagenet_damaged_lists_are_rejected(file, content, words, imagenet):
    root = imagenet[0]
    (root / file).write_bytes(content)
    with pytest.raises(InputError, match=rf"{file} is damaged or cut short \(.*{words}"):
        list_source(str(root))


@pytest.mark.parametrize("imagenet", ["unpacked"], indirect=True)
def test_imagenet_damaged_devkit_is_rejected(imagenet):
    root = imagenet[0]
    (truth,) = root.rglob("*validation_ground_truth.txt")
    truth.write_bytes(b"1\n\xff\n")
    with pytest.raises(InputError, match=r"validation_ground_truth\.txt is damaged"):
        list_source(str(root))
    buffer = io.BytesIO()
    rows = np.empty((1, 1), [("WNID", "O")])
    rows[0, 0] = ("n01440764",)
    scipy.io.savemat(buffer, {"synsets": rows})
    (meta,) = root.rglob("meta.mat")
    meta.write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match=r"meta\.mat .* is damaged"):
        list_source(str(root))


def test_imagenet_archive_of_archives_with_a_hole_is_rejected(tmp_path):
    inner = {f"{wnid}.tar": tar_of({f"{wnid}_1.JPEG": bytes(700)}) for wnid in WNIDS}
    whole = tar_of(inner)
    second = whole.index(b"n02012849.tar")
    damaged = whole[:second] + bytes(512) + whole[second + 512 :]
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(damaged)
    with pytest.raises(InputError, match=r"ILSVRC2012_img_train\.tar is damaged"):
        list_source(str(tmp_path))


BAD_META = [b"", b"no MATLAB file", b"MATLAB" + bytes(500), bytes(2**20 + 1)]


@pytest.mark.parametrize("imagenet", ["unpacked"], indirect=True)
@pytest.mark.parametrize("content", BAD_META)
def test_imagenet_damaged_or_huge_meta_mat_is_rejected(imagenet, content):
    root = imagenet[0]
    (meta,) = root.rglob("meta.mat")
    meta.write_bytes(content)
    with pytest.raises(InputError, match=r"meta\.mat of the devkit in .* is (damaged|larger)"):
        list_source(str(root))


@pytest.mark.parametrize("imagenet", ["unpacked"], indirect=True)
def test_imagenet_truncated_meta_mat_is_rejected(imagenet):
    root = imagenet[0]
    (meta,) = root.rglob("meta.mat")
    whole = meta.read_bytes()
    for length in range(0, len(whole), 97):
        meta.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"meta\.mat of the devkit"):
            list_source(str(root))
