"""What is found in sources: class folders, CSV files, ImageNet as downloaded, TFDS sets."""

import io
import tarfile

import numpy as np
import pytest
import scipy.io
from hostile import encoded, photo

from alexnet_tf.data.prepare.items import SKIPPED, read_item
from alexnet_tf.data.prepare.matlab import read_table
from alexnet_tf.data.prepare.sources import list_source
from alexnet_tf.errors import InputError

WNIDS = ("n01440764", "n02012849", "n03126707")
WORDS = {"n01440764": "tench, Tinca tinca", "n02012849": "crane", "n03126707": "crane"}


def write(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(photo(seed=seed)))


def names(source, split="train"):
    return {item.name: source.class_names[item.label] for item in source.splits[split]}


def skipped(source):
    return {p.name: p.problem for p in source.problems if p.action == SKIPPED}


def test_class_folders_with_spaces_and_other_scripts(tmp_path):
    for name in ("wild cat", "猫", "été"):
        write(tmp_path / "train" / name / "a.jpg")
        write(tmp_path / "train" / name / "below" / "b.jpg")
    write(tmp_path / "valid" / "猫" / "c.jpg")
    write(tmp_path / "extra" / "d.jpg")
    source = list_source(str(tmp_path))
    assert set(source.class_names) == {"wild cat", "猫", "été"}
    assert names(source)["train/猫/below/b.jpg"] == "猫"
    assert len(source.splits["train"]) == 6
    assert names(source, "validation") == {"valid/猫/c.jpg": "猫"}
    assert skipped(source) == {"extra/": "folder that is no split"}


def test_class_names_that_tfds_would_strip_or_drop_are_told_apart(tmp_path):
    folders = (" ", " cat", "cat", "cat (2)", "cat  ", "dog ", "a\\n", "a\n")
    for name in folders:
        write(tmp_path / name / "x.jpg")
    source = list_source(str(tmp_path))
    label_of = {item.name.split("/")[0]: item.label for item in source.splits["train"]}
    assert {folder: source.class_names[label_of[folder]] for folder in folders} == {
        " ": "unnamed",
        " cat": "cat (3)",
        "cat": "cat",
        "cat (2)": "cat (2)",
        "cat  ": "cat (4)",
        "dog ": "dog",
        "a\n": "a\\n",  # sorted before the other, which is spelled so
        "a\\n": "a\\n (2)",
    }
    assert [(p.name, p.problem, p.action) for p in source.problems] == [
        (" ", "class name with spaces at an end", "named 'unnamed'"),
        (" cat", "class name with spaces at an end", "named 'cat (3)'"),
        ("a\\n", "class name given twice", "named 'a\\\\n (2)'"),
        ("cat  ", "class name with spaces at an end", "named 'cat (4)'"),
        ("dog ", "class name with spaces at an end", "named 'dog'"),
    ]


@pytest.mark.parametrize("splits", [("Training", "Testing"), ("TRAIN", "Test")])
def test_other_names_of_splits_are_no_classes(splits, tmp_path):
    for split in splits:
        for name in ("cat", "dog"):
            write(tmp_path / split / name / "a.jpg")
    source = list_source(str(tmp_path))
    assert source.class_names == ("cat", "dog")
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 2, "test": 2}


@pytest.mark.parametrize("up", ["..", "../..", "../../.."])
def test_a_link_to_a_folder_above_brings_no_other_classes_in(up, tmp_path):
    for place in ("train/cat/a.jpg", "train/dog/b.jpg", "val/cat/c.jpg"):
        write(tmp_path / "data" / place)
    (tmp_path / "data" / "train" / "cat" / "loop").symlink_to(up)
    source = list_source(str(tmp_path / "data"))
    assert names(source) == {"train/cat/a.jpg": "cat", "train/dog/b.jpg": "dog"}
    assert skipped(source) == {"train/cat/loop": "link to a folder above"}


def test_a_table_beside_class_folders_is_passed_over(tmp_path):
    for name in ("cat", "dog"):
        write(tmp_path / "train" / name / "a.jpg")
    (tmp_path / "sample_submission.csv").write_text("file,species\nx.png,cat\n")
    (tmp_path / "notes.csv").write_bytes("caf\xe9,1\n".encode("latin-1"))
    source = list_source(str(tmp_path))
    assert source.class_names == ("cat", "dog")
    assert set(skipped(source)) == {"sample_submission.csv", "notes.csv"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"id,breed\nmissing,x\ngone,y\n",
            r"t\.csv names no image that is there, as gone: missing",
        ),
        (b"id,breed\n/abs.jpg,x\n", "as t.csv line 2: file outside the CSV's folder"),
        (b"id,breed\n" + b"a.jpg,x\n" * 2000 + b"b.jpg,caf\xe9\n", r"t\.csv is no UTF-8 text"),
        (b"id,breed\n" + b'a.jpg,"' + b"x" * 200_000, r"t\.csv is no CSV file: field larger"),
    ],
)
def test_a_table_that_gives_no_image_says_why(content, words, tmp_path):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=words):
        list_source(str(tmp_path))


def test_a_csv_file_of_file_label_and_split(tmp_path):
    for name in ("a", "b", "c", "d"):
        write(tmp_path / "images" / f"{name}.jpg")
    (tmp_path / "labels.csv").write_text(
        "id;breed;split\nimages/a;10;train\nimages/b.jpg;9;\nimages/c;9;val\nimages/x;9;train\n"
        ";9;train\nimages/a;10;train\n../out.jpg;9;train\nimages/b;9;later\n",
        encoding="utf-8-sig",
    )
    for given in (tmp_path, tmp_path / "labels.csv"):
        source = list_source(str(given))
        assert source.class_names == ("9", "10")  # by value
        assert names(source) == {"images/a.jpg": "10", "images/b.jpg": "9"}
        assert names(source, "validation") == {"images/c.jpg": "9"}
        assert skipped(source) == {
            "images/x": "missing",
            "labels.csv line 6": "row without file or label",
            "labels.csv line 7": "row listed before",
            "labels.csv line 8": "file outside the CSV's folder",
            "labels.csv line 9": "unknown split 'later'",
            "images/d.jpg": "not in labels.csv",
        }


def test_a_file_with_two_labels_is_left_out(tmp_path):
    for name in "abc":
        write(tmp_path / f"{name}.jpg")
    (tmp_path / "t.csv").write_text("file,label\na.jpg,x\na.jpg,y\nb.jpg,x\nc.jpg,y\n")
    source = list_source(str(tmp_path))
    assert names(source) == {"b.jpg": "x", "c.jpg": "y"}
    assert skipped(source)["a.jpg"] == "listed with different labels"


def test_a_file_is_the_same_one_however_rows_spell_it(tmp_path):
    for name in "abcd":
        write(tmp_path / "img" / f"{name}.jpg")
    (tmp_path / "t.csv").write_text(
        "file,label\nimg/a.jpg,x\n./img/a.jpg,y\nimg/b,x\nimg//b.jpg,z\nimg/c.jpg,x\nimg/c,x\n"
        "./img/d,y\n"
    )
    source = list_source(str(tmp_path))
    assert names(source) == {"img/c.jpg": "x", "img/d.jpg": "y"}
    assert skipped(source) == {
        "img/a.jpg": "listed with different labels",
        "img/b.jpg": "listed with different labels",
        "t.csv line 7": "row listed before",
    }


def test_a_name_that_no_file_can_have_costs_its_row_alone(tmp_path):
    write(tmp_path / "a.jpg")
    write(tmp_path / "b.jpg")
    long = "x" * 300
    (tmp_path / "t.csv").write_text(f"file,label\na.jpg,x\nb.jpg,y\n{long},x\nc\0.jpg,x\n")
    source = list_source(str(tmp_path))
    assert names(source) == {"a.jpg": "x", "b.jpg": "y"}
    assert skipped(source) == {
        long: "file name too long",
        "t.csv line 5": "name that no file can have",
    }


@pytest.mark.parametrize(("name", "comma"), [("labels.CSV", ","), ("labels.tsv", "\t")])
def test_tables_of_other_endings_are_found(name, comma, tmp_path):
    for image in "ab":
        write(tmp_path / f"{image}.jpg")
    (tmp_path / name).write_text(f"file{comma}label\na.jpg{comma}x\nb.jpg{comma}y\n")
    (tmp_path / "._labels.csv").write_bytes(b"\x00\xff")  # as macOS leaves them
    assert names(list_source(str(tmp_path))) == {"a.jpg": "x", "b.jpg": "y"}


@pytest.mark.parametrize(
    "rows", ["cat/a.jpg,dog\ndog/a.jpg,elk\n", "x.jpg,one\ny.jpg,two\n", "cat/a,Cat\ndog/a,Dog\n"]
)
def test_class_folders_come_before_a_table_and_the_report_says_so(rows, tmp_path):
    for name in ("cat", "dog"):
        write(tmp_path / name / "a.jpg")
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}")
    (tmp_path / "more.csv").write_text(f"file,label\n{rows}")
    source = list_source(str(tmp_path))
    assert names(source) == {"cat/a.jpg": "cat", "dog/a.jpg": "dog"}
    unused = "table that is not used: the folders say the classes"
    assert skipped(source) == {"labels.csv": unused, "more.csv": unused}


def test_folders_are_no_classes_where_a_table_says_quite_other_ones(tmp_path):
    for name in ("part1", "part2"):
        write(tmp_path / name / "a.jpg")
    (tmp_path / "labels.csv").write_text("file,label\npart1/a.jpg,cat\npart2/a.jpg,dog\n")
    assert names(list_source(str(tmp_path))) == {"part1/a.jpg": "cat", "part2/a.jpg": "dog"}


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


TRUTH = (3, 1, 2, 9)  # validation image 1 is of number 3 ...


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


def test_imagenet_as_downloaded(imagenet):
    root, train, val = imagenet
    source = list_source(str(root))
    assert source.class_names == ("tench, Tinca tinca", "crane (n02012849)", "crane (n03126707)")
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
    # Number 3 of the devkit is the first synset, and so on; number 9 there is none.
    labels = {name: 3 - number for name, number in zip(val, TRUTH, strict=True)}
    assert validation == {n: (labels[n], val[n]) for n in list(val)[:3]}
    (problem,) = (text for name, text in skipped(source).items() if name.endswith("4.JPEG"))
    assert "synset" in problem


def test_imagenet_validation_without_its_truth_is_refused(tmp_path):
    for wnid in WNIDS:
        path = tmp_path / "train" / f"{wnid}.tar"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tar_of({f"{wnid}_1.JPEG": encoded(photo())}))
    assert len(list_source(str(tmp_path)).splits["train"]) == 3
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG").write_bytes(encoded(photo()))
    with pytest.raises(InputError, match=r"devkit_t12\.tar\.gz"):
        list_source(str(tmp_path))


def test_a_damaged_archive_is_named(tmp_path):
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
def test_an_archive_that_ends_early_is_damaged(damage, packed, tmp_path):
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


def test_what_is_no_synset_in_the_archive_is_told(tmp_path):
    inner = {f"{wnid}.tar": tar_of({f"{wnid}_1.JPEG": bytes(9)}) for wnid in WNIDS}
    whole = tar_of({**inner, "readme.txt": b"x", "n123.tar": b"y"})
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(whole)
    source = list_source(str(tmp_path))
    assert len(source.splits["train"]) == 3
    assert skipped(source) == {"readme.txt": "in no synset", "n123.tar": "in no synset"}


def test_without_a_list_the_classes_have_the_names_that_we_know(tmp_path):
    known, other = "n01440764", "n99999999"
    inner = {f"{wnid}.tar": tar_of({f"{wnid}_1.JPEG": bytes(9)}) for wnid in (known, other)}
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(tar_of(inner))
    assert list_source(str(tmp_path)).class_names == ("tench", other)


@pytest.mark.parametrize("imagenet", ["archives"], indirect=True)
def test_imagenet_under_another_spelling_is_the_same_source(imagenet, monkeypatch):
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
def test_damaged_lists_are_named(file, content, words, imagenet):
    root = imagenet[0]
    (root / file).write_bytes(content)
    with pytest.raises(InputError, match=rf"{file} is damaged or cut short \(.*{words}"):
        list_source(str(root))


@pytest.mark.parametrize("imagenet", ["unpacked"], indirect=True)
def test_a_damaged_devkit_is_named(imagenet):
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
    with pytest.raises(InputError, match=r"meta\.mat .* has no numbers"):
        list_source(str(root))


def test_an_archive_of_archives_with_a_hole_is_damaged(tmp_path):
    inner = {f"{wnid}.tar": tar_of({f"{wnid}_1.JPEG": bytes(700)}) for wnid in WNIDS}
    whole = tar_of(inner)
    second = whole.index(b"n02012849.tar")
    damaged = whole[:second] + bytes(512) + whole[second + 512 :]
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(damaged)
    with pytest.raises(InputError, match=r"ILSVRC2012_img_train\.tar is damaged"):
        list_source(str(tmp_path))


def test_matlab_tables_are_read_as_scipy_writes_them():
    for compressed in (False, True):
        rows = np.empty((2, 1), [("n", "O"), ("text", "O"), ("list", "O")])
        rows[0, 0] = (300, "längere Wörter", np.arange(3.0))
        rows[1, 0] = (-1.5, "x", np.zeros((0, 0)))
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, {"other": 1, "table": rows}, do_compression=compressed)
        first, second = read_table(buffer.getvalue(), "table")
        assert first == {"n": 300, "text": "längere Wörter", "list": (0.0, 1.0, 2.0)}
        assert (second["n"], second["text"]) == (-1.5, "x")
        with pytest.raises(InputError, match=r"damaged|no table"):
            read_table(buffer.getvalue()[:-40], "table")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "no class folders"),
        (lambda root: write(root / "one" / "a.jpg"), "1 class"),
        (lambda root: (root / "train" / "a").mkdir(parents=True), "no training images"),
        (lambda root: write(root / "val" / "a" / "a.jpg"), "no train/"),
        (
            lambda root: [write(root / "train/a/a.jpg"), write(root / "val/b/a.jpg")],
            "class that the train split does not have",
        ),
        (lambda root: (root / "t.csv").write_bytes(b"\xff\xfe\x00"), "UTF-8"),
    ],
)
def test_what_cannot_be_prepared_is_refused(make, words, tmp_path):
    make(tmp_path)
    with pytest.raises(InputError, match=words):
        list_source(str(tmp_path))


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "no_such_data_set"])
def test_what_is_not_there_is_refused(name):
    with pytest.raises(InputError, match=r"does not exist|unknown data set"):
        list_source(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "^the source is empty: give a folder"),
        ("photos.zip", r"^photos\.zip does not exist: give a folder"),
        ("my photos", "^my photos does not exist: give a folder"),
        ("cifar10:latest", "^cifar10:latest: what follows a colon is a version"),
        ("cifar10:0.0.1", "^cifar10:0.0.1: (?!.*--dataset)"),
    ],
)
def test_what_is_not_there_is_said_without_options_that_prepare_lacks(
    name, words, tmp_path, monkeypatch
):
    for folder in ("cat", "dog"):
        write(tmp_path / folder / "a.jpg")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        list_source(name, str(tmp_path / "tfds"))


def test_a_tfds_name_with_a_config_is_no_path(monkeypatch):
    asked = []

    def find(name, data_dir):
        asked.append(name)
        raise InputError("found")

    monkeypatch.setattr("alexnet_tf.data.prepare.tfds_items.find_builder", find)
    with pytest.raises(InputError, match="found"):
        list_source("imagenet_resized/64x64")
    assert asked == ["imagenet_resized/64x64"]
