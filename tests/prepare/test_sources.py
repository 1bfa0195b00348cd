"""Class folders and TFDS names as sources, and sources that are rejected."""

import pytest
from listing import names, skipped, write

from alexnet_tf.errors import InputError
from alexnet_tf.prepare.sources import list_source


def test_class_folders_with_spaces_and_other_scripts_are_listed(tmp_path):
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
    assert skipped(source) == {"extra/": "folder that is not a split"}


def test_class_names_that_tfds_would_strip_or_drop_are_renamed(tmp_path):
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
        ("a\\n", "duplicate class name", "named 'a\\\\n (2)'"),
        ("cat  ", "class name with spaces at an end", "named 'cat (4)'"),
        ("dog ", "class name with spaces at an end", "named 'dog'"),
    ]


def test_empty_class_folders_are_skipped_and_reported(tmp_path):
    for name in ("cat", "dog"):
        write(tmp_path / "train" / name / "a.jpg")
        write(tmp_path / "val" / name / "a.jpg")
    (tmp_path / "train" / "bird" / "deep").mkdir(parents=True)
    (tmp_path / "val" / "bird").mkdir()
    (tmp_path / "train" / "emu").mkdir()
    (tmp_path / "train" / "emu" / "linked").symlink_to(tmp_path / "train" / "cat")
    source = list_source(str(tmp_path))
    assert source.class_names == ("cat", "dog", "emu")
    assert [(p.split, p.name, p.problem, p.action) for p in source.problems] == [
        ("train", "bird", "class without files", "skipped"),
        ("validation", "bird", "class without files", "skipped"),
    ]
    write(tmp_path / "val" / "bird" / "a.jpg")
    with pytest.raises(InputError, match="bird is a class that the train split does not have"):
        list_source(str(tmp_path))


@pytest.mark.parametrize("splits", [("Training", "Testing"), ("TRAIN", "Test")])
def test_other_split_names_are_recognized(splits, tmp_path):
    for split in splits:
        for name in ("cat", "dog"):
            write(tmp_path / split / name / "a.jpg")
    source = list_source(str(tmp_path))
    assert source.class_names == ("cat", "dog")
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 2, "test": 2}


@pytest.mark.parametrize("up", ["..", "../..", "../../.."])
def test_link_to_a_parent_folder_is_skipped(up, tmp_path):
    for place in ("train/cat/a.jpg", "train/dog/b.jpg", "val/cat/c.jpg"):
        write(tmp_path / "data" / place)
    (tmp_path / "data" / "train" / "cat" / "loop").symlink_to(up)
    source = list_source(str(tmp_path / "data"))
    assert names(source) == {"train/cat/a.jpg": "cat", "train/dog/b.jpg": "dog"}
    assert skipped(source) == {"train/cat/loop": "link to a folder above"}


def test_table_beside_class_folders_is_skipped(tmp_path):
    for name in ("cat", "dog"):
        write(tmp_path / "train" / name / "a.jpg")
    (tmp_path / "sample_submission.csv").write_text("file,species\nx.png,cat\n")
    (tmp_path / "notes.csv").write_bytes("caf\xe9,1\n".encode("latin-1"))
    # The invalid byte is behind the part that is read for the first row.
    late = b"file,label\n" + b"a.jpg,x\n" * 2000 + b"b.jpg,caf\xe9\n"
    (tmp_path / "more.csv").write_bytes(late)
    source = list_source(str(tmp_path))
    assert source.class_names == ("cat", "dog")
    assert set(skipped(source)) == {"sample_submission.csv", "notes.csv", "more.csv"}


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
def test_unusable_folder_is_rejected(make, words, tmp_path):
    make(tmp_path)
    with pytest.raises(InputError, match=words):
        list_source(str(tmp_path))


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "no_such_data_set"])
def test_missing_source_is_rejected(name):
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
def test_missing_source_message_names_only_options_of_prepare(name, words, tmp_path, monkeypatch):
    for folder in ("cat", "dog"):
        write(tmp_path / folder / "a.jpg")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        list_source(name, str(tmp_path / "tfds"))


def test_tfds_name_with_a_config_is_not_a_path(monkeypatch):
    asked = []

    def find(name, data_dir):
        asked.append(name)
        raise InputError("found")

    monkeypatch.setattr("alexnet_tf.prepare.sources.find_builder", find)
    with pytest.raises(InputError, match="found"):
        list_source("imagenet_resized/64x64")
    assert asked == ["imagenet_resized/64x64"]
