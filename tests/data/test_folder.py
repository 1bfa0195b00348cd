"""Folders of images: the supported layouts, and one-line errors for others."""

import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data.folder import open_folder
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.errors import InputError
from alexnet_tf.prepare.sources import list_source


def add(folder, name, shade=0):
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (shade, shade, shade)).save(folder / name)


@pytest.fixture
def toys(tmp_path):
    for number, name in enumerate(("cat", "ant", "bee")):
        for image in range(3):
            add(tmp_path / "train" / name, f"{image}.png", 10 * number + image)
        add(tmp_path / "val" / name, "0.JPG", 10 * number)
    return tmp_path


def test_train_and_val_are_read_in_order(toys):
    data = open_folder(str(toys))
    assert data.class_names == ("ant", "bee", "cat")
    assert list(data.splits) == ["train", "validation"]
    train = data.splits["train"]
    np.testing.assert_array_equal(train.labels, [0, 0, 0, 1, 1, 1, 2, 2, 2])
    shades = [int(train.load(tf.constant(i, tf.int64))[0, 0, 0]) for i in range(9)]
    assert shades == [10, 11, 12, 20, 21, 22, 0, 1, 2]
    assert len(data.splits["validation"]) == 3
    assert data.origin == str(toys)


@pytest.mark.parametrize("name", ["validation", "valid", "Val"])
def test_val_has_several_names(toys, name):
    (toys / "val").rename(toys / name)
    add(toys / "test" / "bee", "0.png")
    splits = open_folder(str(toys)).splits
    assert list(splits) == ["train", "validation", "test"]
    np.testing.assert_array_equal(splits["test"].labels, [1])


def test_other_names_of_splits_are_not_classes(toys):
    (toys / "train").rename(toys / "Training")
    (toys / "val").rename(toys / "Testing")
    data = open_folder(str(toys))
    assert data.class_names == ("ant", "bee", "cat")
    assert list(data.splits) == ["train", "test"]


def test_class_folders_alone_are_a_train_split(toys):
    data = open_folder(str(toys / "train"), channels=1)
    assert data.class_names == ("ant", "bee", "cat")
    assert list(data.splits) == ["train"]
    assert data.splits["train"].load(tf.constant(0, tf.int64)).shape == (6, 8, 1)


def test_hidden_and_other_files_are_skipped(toys):
    add(toys / "train" / "ant", ".hidden.png")
    add(toys / "train" / ".cache", "0.png")
    (toys / "train" / "ant" / "notes.txt").write_text("none")
    (toys / "train" / "readme.txt").write_text("none")
    data = open_folder(str(toys))
    assert data.class_names == ("ant", "bee", "cat")
    assert len(data.splits["train"]) == 9
    assert data.skipped_files == (
        f"{toys}: 1 file is skipped, 1 without an image extension (.jpg .jpeg .png .webp .bmp "
        f".gif): `python cli.py prepare {toys}` reads them or reports why not"
    )


def test_files_below_class_folders_are_skipped_and_counted(toys):
    assert open_folder(str(toys)).skipped_files == ""
    add(toys / "train" / "ant" / "more" / "still", "0.png")
    add(toys / "train" / "bee" / "more", "0.png")
    add(toys / "train" / "bee" / "more", ".hidden.png")
    add(toys / "train" / "bee" / ".cache", "0.png")
    (toys / "val" / "bee" / "photo").write_bytes((toys / "val" / "bee" / "0.JPG").read_bytes())
    data = open_folder(str(toys))
    assert len(data.splits["train"]) == 9
    message = "3 files are skipped, 2 in folders below a class folder and 1 without"
    assert message in data.skipped_files


def test_empty_class_folders_are_skipped_with_a_line(toys):
    (toys / "train" / "dove" / "deep").mkdir(parents=True)
    (toys / "val" / "dove").mkdir()
    data = open_folder(str(toys))
    assert data.class_names == ("ant", "bee", "cat")
    assert len(data.splits["train"]) == 9
    assert data.skipped_files == f"{toys}: 2 empty class folders are skipped"
    (toys / "val" / "dove").rmdir()
    (toys / "train" / "ant" / "notes.txt").write_text("none")
    assert open_folder(str(toys)).skipped_files.startswith(
        f"{toys}: 1 empty class folder is skipped; 1 file is skipped, 1 without an image extension"
    )


def test_only_regular_files_and_links_are_listed(toys):
    os.mkfifo(toys / "train" / "ant" / "pipe.jpg")
    (toys / "train" / "ant" / "link.png").symlink_to("0.png")
    (toys / "train" / "ant" / "nowhere.png").symlink_to("none.png")
    data = open_folder(str(toys))
    assert len(data.splits["train"]) == 11
    assert "1 file is skipped, 1 not a regular file" in data.skipped_files


def test_webp_is_read(toys):
    image = Image.new("RGB", (8, 6), (7, 8, 9))
    image.save(toys / "train" / "ant" / "3.webp", lossless=True)
    data = open_folder(str(toys))
    assert data.skipped_files == ""
    pixels = data.splits["train"].load(tf.constant(3, tf.int64))
    np.testing.assert_array_equal(pixels, np.asarray(image))


def test_names_that_are_not_utf_8_are_escaped(toys):
    for split in ("train", "val"):
        (toys / split / "cat").rename(toys / split / os.fsdecode(b"c\xffat"))
    moved = toys.rename(toys.parent / os.fsdecode(b"to\xfeys"))
    data = open_folder(str(moved))
    assert data.class_names == ("ant", "bee", "c\\xffat")
    assert data.name == data.origin == str(toys.parent / "to\\xfeys")
    assert data.splits["train"].load(tf.constant(8, tf.int64)).shape == (6, 8, 3)


def error_of(path):
    with pytest.raises(InputError) as caught:
        open_dataset(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_folder_is_named(tmp_path):
    assert str(tmp_path / "none") in error_of(tmp_path / "none")


def test_file_is_not_a_folder(tmp_path):
    (tmp_path / "file").write_text("none")
    assert "is a file: give a folder" in error_of(tmp_path / "file")


def test_table_is_left_to_prepare(tmp_path):
    add(tmp_path / "images", "0.png")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\nimages/0.png,cat\n")
    assert f"is a table: `python cli.py prepare {table}` reads it" in error_of(str(table))
    assert f"; `python cli.py prepare {tmp_path}` reads images with the table" in error_of(tmp_path)
    (tmp_path / "images" / "0.png").rename(tmp_path / "0.png")
    (tmp_path / "images").rmdir()
    assert "with the table labels.csv" in error_of(tmp_path)


def test_interrupted_preparation_names_the_command_that_resumes_it(tmp_path):
    (tmp_path / ".preparing").mkdir()
    assert f"Resume it with: python cli.py prepare SOURCE --out {tmp_path}" in error_of(tmp_path)
    (tmp_path / ".preparing" / "plan.json").write_text('{"size": 24, "format": "raw"}')
    assert error_of(tmp_path).endswith(f"--out {tmp_path} --size 24 --format raw")


def test_empty_folder_is_rejected(tmp_path):
    assert "has no class folders" in error_of(tmp_path)


def test_one_class_is_rejected(tmp_path):
    add(tmp_path / "train" / "only", "0.png")
    message = error_of(tmp_path)
    assert "one class folder (only)" in message
    assert str(tmp_path / "train") in message


def test_train_without_classes_is_rejected(tmp_path):
    (tmp_path / "train").mkdir()
    assert "no class folders" in error_of(tmp_path)


def test_val_without_train_is_rejected(tmp_path):
    add(tmp_path / "val" / "a", "0.png")
    assert "train/ not found beside val/" in error_of(tmp_path)


@pytest.mark.parametrize("split", ["train", "val"])
def test_class_folder_without_images_is_rejected(toys, split):
    for file in (toys / split / "bee").iterdir():
        file.unlink()
    (toys / split / "bee" / "notes.txt").write_text("none")
    message = error_of(toys)
    assert str(toys / split / "bee") in message
    assert ".png" in message
    assert f"python cli.py prepare {toys}" in message


def test_val_without_classes_is_rejected(toys):
    for file in (toys / "val").glob("*/*"):
        file.unlink()
    for folder in (toys / "val").iterdir():
        folder.rmdir()
    assert f"{toys / 'val'} has no class folders" in error_of(toys)


def test_class_that_train_does_not_have_is_rejected(toys):
    add(toys / "val" / "dog", "0.png")
    assert str(toys / "val" / "dog") in error_of(toys)


def test_relative_folder_needs_no_dot(toys, monkeypatch):
    monkeypatch.chdir(toys.parent)
    assert len(open_dataset(toys.name).class_names) == 3
    assert len(open_dataset(f"{toys.name}/train").class_names) == 3


@pytest.mark.parametrize("name", ["", "  "])
def test_empty_name_is_rejected(name):
    assert "--dataset" in error_of(name)


def test_channels_other_than_1_and_3_are_rejected(toys):
    with pytest.raises(InputError, match="Received: 2"):
        open_dataset(toys, channels=2)


def tiny_imagenet(root):
    """Writes a small Tiny ImageNet: images/ folders, a table for val/, names, unlabeled test/."""
    wnids = ("n01443537", "n01629819")
    for wnid in wnids:
        folder = root / "train" / wnid / "images"
        folder.mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (8, 8), (9, 9, 9)).save(folder / f"{wnid}_{number}.JPEG")
        (folder.parent / f"{wnid}_boxes.txt").write_text("")
    for split, count in (("val", 4), ("test", 2)):
        (root / split / "images").mkdir(parents=True)
        for number in range(count):
            image = Image.new("RGB", (8, 8))
            image.save(root / split / "images" / f"{split}_{number}.JPEG")
    rows = [f"val_{number}.JPEG\t{wnids[number % 2]}\t0\t0\t9\t9\n" for number in range(4)]
    (root / "val" / "val_annotations.txt").write_text("".join(rows))
    (root / "words.txt").write_text("n01443537\tgoldfish, Carassius auratus\n")
    return root


def test_tiny_imagenet_is_read_as_unpacked(tmp_path):
    data = open_dataset(str(tiny_imagenet(tmp_path / "tiny")))
    assert data.class_names == ("goldfish, Carassius auratus", "n01629819")
    assert data.splits["train"].labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.splits["validation"].labels.tolist() == [0, 1, 0, 1]
    assert "test" not in data.splits
    assert "2 in a test split without labels" in data.skipped_files


def flat_val(root):
    """ImageNet's usual layout without a devkit: synset folders in train/, images in val/."""
    for wnid in ("n01440764", "n01443537"):
        (root / "train" / wnid).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(root / "train" / wnid / "0.JPEG")
    (root / "val").mkdir()
    for number in range(1, 4):
        Image.new("RGB", (8, 8)).save(root / "val" / f"ILSVRC2012_val_{number:08}.JPEG")
    return root


@pytest.mark.parametrize(
    ("name", "header", "label"),
    [
        ("LOC_val_solution.csv", "ImageId,PredictionString", "{} 1 2 3 4"),
        ("val_labels.csv", "ImageId,Class", "{}"),
        ("val.csv", "filename,label", "{}"),
    ],
)
@pytest.mark.parametrize("split", ["val", "validation"])
def test_val_without_class_folders_has_labels_from_a_table(tmp_path, name, header, label, split):
    root = flat_val(tmp_path / "data")
    (root / "val").rename(root / split)
    wnids = ("n01443537", "n01440764", "n01443537")
    rows = [f"ILSVRC2012_val_{n:08},{label.format(wnid)}" for n, wnid in enumerate(wnids, 1)]
    (root / name).write_text("\n".join([header, *rows]) + "\n")
    assert open_dataset(str(root)).splits["validation"].labels.tolist() == [1, 0, 1]
    listed = list_source(str(root))
    assert [item.label for item in listed.splits["validation"]] == [1, 0, 1]
    assert [problem.action for problem in listed.problems if problem.name == name] == ["used"]


@pytest.mark.parametrize("other", ["dev.csv", "dev_notes.txt"])
def test_table_of_the_folders_own_name_comes_first(tmp_path, other):
    root = flat_val(tmp_path / "data")
    names = [f"ILSVRC2012_val_{n:08}" for n in range(1, 4)]
    for table, wnids in (("val.csv", "01440764 01443537 01440764"), (other, "01443537 " * 3)):
        rows = [f"{name},n{wnid}" for name, wnid in zip(names, wnids.split(), strict=True)]
        (root / table).write_text("\n".join(["filename,label", *rows]) + "\n")
    assert open_dataset(str(root)).splits["validation"].labels.tolist() == [0, 1, 0]


def test_val_without_class_folders_or_table_is_rejected(tmp_path):
    root = flat_val(tmp_path / "data")
    for read in (open_dataset, list_source):
        with pytest.raises(InputError, match=r"3 images and no class folders.*val_labels\.csv"):
            read(str(root))
    (root / "val_labels.csv").write_text("ImageId,Class\nILSVRC2012_val_00000001,n09999999\n")
    for read in (open_dataset, list_source):
        with pytest.raises(InputError, match="names n"):
            read(str(root))
