"""Layouts of competitions and other tools: where the images of a table are."""

import pytest
from listing import names, skipped, write

from alexnet_tf.data.sources import open_dataset
from alexnet_tf.errors import InputError
from alexnet_tf.prepare.source import USED
from alexnet_tf.prepare.sources import list_source

IDS = ("000", "001", "002")


def used(source):
    return {problem.name: problem.problem for problem in source.problems if problem.action == USED}


def add_images(root, *paths):
    for path in paths:
        write(root / path)


@pytest.mark.parametrize("table", ["labels.csv", "train.csv"])
@pytest.mark.parametrize("folder", ["train", "train_images", "images", "data/jpg"])
@pytest.mark.parametrize("extension", ["", ".jpg"])
def test_images_are_found_in_the_folder_beside_the_table(table, folder, extension, tmp_path):
    add_images(tmp_path, *(f"{folder}/{name}.jpg" for name in IDS), f"{folder}/extra.jpg")
    # The test images have the same names, and there are more of them.
    add_images(tmp_path, *(f"test/{name}.jpg" for name in IDS), "test/003.jpg")
    rows = "".join(f"{name}{extension},{'xy'[name > '000']}\n" for name in (*IDS, "003"))
    (tmp_path / table).write_text(f"id,label\n{rows}")
    (tmp_path / "sample_submission.csv").write_text("id,label\n003,x\n")
    source = list_source(str(tmp_path))
    assert names(source) == {
        f"{folder}/000.jpg": "x",
        f"{folder}/001.jpg": "y",
        f"{folder}/002.jpg": "y",
    }
    assert used(source) == {table: f"table of the images in {folder}/"}
    assert skipped(source) == {
        f"{folder}/003{extension}": "missing",
        f"{folder}/extra.jpg": f"not in {table}",
        **{f"test/{name}.jpg": f"in test/, not in {table}" for name in (*IDS, "003")},
        "sample_submission.csv": f"not in {table}",
    }


def test_training_on_a_competition_names_prepare(tmp_path):
    for folders in (("train_images", "test_images"), ("images",), ("train", "test")):
        root = tmp_path / folders[0]
        add_images(root, *(f"{folder}/{name}.jpg" for folder in folders for name in IDS))
        (root / "sample_submission.csv").write_text("id,label\n000,x\n")
        (root / "train.csv").write_text("id,label\n000,x\n001,y\n")
        with pytest.raises(InputError, match=r"prepare .*reads images with the table train\.csv"):
            open_dataset(root)
        (root / "train.csv").write_text("number,what\n000,x\n")
        with pytest.raises(InputError, match=r"train\.csv: the first row must name a column"):
            list_source(str(root))


def test_folders_of_images_without_a_table_are_not_classes(tmp_path):
    add_images(tmp_path, "train_images/a.jpg", "test_images/a.jpg")
    for read in (open_dataset, list_source):
        with pytest.raises(InputError, match="has no class folders"):
            read(str(tmp_path))


def test_images_in_numbered_parts_are_found(tmp_path):
    add_images(tmp_path, "images_part_1/a.jpg", "images_part_2/b.jpg", "other/c.jpg")
    (tmp_path / "metadata.csv").write_text("lesion_id,image_id,dx\n1,a,mel\n2,b,nv\n3,c,nv\n")
    source = list_source(str(tmp_path))
    assert names(source) == {"images_part_1/a.jpg": "mel", "images_part_2/b.jpg": "nv"}
    assert used(source) == {
        "metadata.csv": "table of the images in images_part_1/ and images_part_2/"
    }


def test_name_in_several_numbered_folders_is_that_of_the_fullest(tmp_path):
    add_images(tmp_path, "set1/a.jpg", "set1/b.jpg", "set2/a.jpg", "set2/b.jpg", "set2/c.jpg")
    (tmp_path / "labels.csv").write_text("id,label\na,x\nb,y\nc,y\n")
    assert set(names(list_source(str(tmp_path)))) == {"set2/a.jpg", "set2/b.jpg", "set2/c.jpg"}


@pytest.mark.parametrize(
    "prefix", ["C:\\Users\\me\\photos\\", "/kaggle/input/photos/", "photos/", ".\\"]
)
def test_paths_of_another_machine_are_found_below_the_table(prefix, tmp_path):
    add_images(tmp_path, "img/x/0.jpg", "img/y/0.jpg")
    separator = "\\" if "\\" in prefix else "/"
    paths = [prefix + separator.join(("img", label, "0.jpg")) for label in "xy"]
    rows = f"{paths[0]},x\n{paths[1]},y\n"
    for header in ("path,label\n", ""):
        (tmp_path / "labels.csv").write_text(header + rows)
        assert names(list_source(str(tmp_path))) == {"img/x/0.jpg": "x", "img/y/0.jpg": "y"}


def test_absolute_paths_outside_the_folder_of_the_table_are_rejected(tmp_path):
    add_images(tmp_path, "img/0.jpg", "img/1.jpg")
    table = tmp_path / "tables" / "labels.csv"
    table.parent.mkdir()
    table.write_text(f"path,label\n{tmp_path}/img/0.jpg,x\n{tmp_path}/img/1.jpg,y\n")
    with pytest.raises(InputError, match=r"outside .*: put it into a folder above its images$"):
        list_source(str(table))
    moved = table.rename(tmp_path / "labels.csv")
    assert names(list_source(str(moved))) == {"img/0.jpg": "x", "img/1.jpg": "y"}


def test_one_hot_table_and_its_submission_are_read(tmp_path):
    add_images(tmp_path, "images/Train_0.jpg", "images/Train_1.jpg", "images/Test_0.jpg")
    (tmp_path / "train.csv").write_text(
        "image_id,healthy,rust\nTrain_0,1,0\nTrain_1,0,1\nTrain_2,1,1\n"
    )
    (tmp_path / "test.csv").write_text("image_id\nTest_0\n")
    source = list_source(str(tmp_path))
    assert names(source) == {"images/Train_0.jpg": "healthy", "images/Train_1.jpg": "rust"}
    assert skipped(source)["train.csv line 4"] == "row with several classes"
    assert skipped(source)["images/Test_0.jpg"] == "not in train.csv"


def test_caffe_lists_are_the_splits(tmp_path):
    add_images(tmp_path, *(f"images/{name}.jpg" for name in "abcd"))
    (tmp_path / "train.txt").write_text("a.jpg 0\nb.jpg 1\n")
    (tmp_path / "val.txt").write_text("c.jpg 1\n")
    (tmp_path / "readme.txt").write_text("Images of nothing.\n")
    source = list_source(str(tmp_path))
    assert names(source) == {"images/a.jpg": "0", "images/b.jpg": "1"}
    assert names(source, "validation") == {"images/c.jpg": "1"}
    assert skipped(source)["images/d.jpg"] == "not in train.txt or val.txt"
    alone = list_source(str(tmp_path / "train.txt"))
    assert set(alone.splits) == {"train"}
    (tmp_path / "more.csv").write_text("d.jpg,1\n")
    with pytest.raises(InputError, match="several tables of file and label"):
        list_source(str(tmp_path))


def test_is_valid_column_gives_the_validation_split(tmp_path):
    add_images(tmp_path, "train/a.jpg", "train/b.jpg", "train/c.jpg")
    (tmp_path / "train.csv").write_text(
        "fname,labels,is_valid\na.jpg,x,False\nb.jpg,y,False\nc.jpg,y,True\n"
    )
    source = list_source(str(tmp_path))
    assert names(source, "validation") == {"train/c.jpg": "y"}
    assert set(names(source)) == {"train/a.jpg", "train/b.jpg"}


def test_encoding_is_applied_to_every_table(tmp_path):
    add_images(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "labels.csv").write_bytes("file,label\na.jpg,黑猫\nb.jpg,狗\n".encode("gbk"))
    with pytest.raises(InputError, match=r"not UTF-8 text: .*--encoding gbk, which reads '黑猫'"):
        list_source(str(tmp_path))
    assert names(list_source(str(tmp_path), encoding="gbk")) == {"a.jpg": "黑猫", "b.jpg": "狗"}
    flat = tmp_path / "flat"
    add_images(flat, "train/黑猫/a.jpg", "train/狗/b.jpg", "val/c.jpg")
    (flat / "val_labels.csv").write_bytes("ImageId,Class\nc,黑猫\n".encode("gbk"))
    with pytest.raises(InputError, match=r"val_labels\.csv is not UTF-8 text.*--encoding gbk"):
        open_dataset(flat)
    assert names(list_source(str(flat), encoding="gbk"), "validation") == {"val/c.jpg": "黑猫"}
    (flat / "val_labels.csv").write_bytes("ImageId,Class\nc,黑猫\n".encode("utf-16"))
    assert len(open_dataset(flat).splits["validation"]) == 1


def test_workbook_is_rejected_with_the_conversion(tmp_path):
    (tmp_path / "labels.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"labels\.xlsx is neither .*: save the workbook as CSV"):
        list_source(str(tmp_path / "labels.xlsx"))
