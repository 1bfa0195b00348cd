"""Folders of images with a CSV file of file and label."""

import pytest
from listing import names, skipped, write

from alexnet_tf.errors import InputError
from alexnet_tf.prepare.sources import list_source


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"id,breed\nmissing,x\ngone,y\n",
            r"t\.csv: none of its images can be used \(gone: missing\)",
        ),
        (b"id,breed\n/abs.jpg,x\n", r"\(t\.csv line 2: file outside the table's folder\)"),
        (b"id,breed\n" + b"a.jpg,x\n" * 2000 + b"b.jpg,caf\xe9\n", r"t\.csv is not UTF-8 text"),
        (b"id,breed\n" + b'a.jpg,"' + b"x" * 200_000, r"t\.csv is not a CSV file: field larger"),
    ],
)
def test_csv_without_usable_image_is_rejected_with_the_reason(content, words, tmp_path):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=words):
        list_source(str(tmp_path))


def test_csv_of_file_label_and_split_is_listed(tmp_path):
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
            "labels.csv line 8": "file outside the table's folder",
            "labels.csv line 9": "unknown split 'later'",
            "images/d.jpg": "not in labels.csv",
        }


def test_csv_file_with_two_labels_is_skipped(tmp_path):
    for name in "abc":
        write(tmp_path / f"{name}.jpg")
    (tmp_path / "t.csv").write_text("file,label\na.jpg,x\na.jpg,y\nb.jpg,x\nc.jpg,y\n")
    source = list_source(str(tmp_path))
    assert names(source) == {"b.jpg": "x", "c.jpg": "y"}
    assert skipped(source)["a.jpg"] == "listed with different labels"


def test_csv_spellings_of_a_path_are_one_file(tmp_path):
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


def test_csv_row_with_an_impossible_file_name_is_skipped(tmp_path):
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
def test_csv_with_another_extension_is_found(name, comma, tmp_path):
    for image in "ab":
        write(tmp_path / f"{image}.jpg")
    (tmp_path / name).write_text(f"file{comma}label\na.jpg{comma}x\nb.jpg{comma}y\n")
    (tmp_path / "._labels.csv").write_bytes(b"\x00\xff")  # as macOS leaves them
    assert names(list_source(str(tmp_path))) == {"a.jpg": "x", "b.jpg": "y"}


@pytest.mark.parametrize(
    "rows", ["cat/a.jpg,dog\ndog/a.jpg,elk\n", "x.jpg,one\ny.jpg,two\n", "cat/a,Cat\ndog/a,Dog\n"]
)
def test_csv_beside_class_folders_is_reported_as_not_used(rows, tmp_path):
    for name in ("cat", "dog"):
        write(tmp_path / name / "a.jpg")
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}")
    (tmp_path / "more.csv").write_text(f"file,label\n{rows}")
    source = list_source(str(tmp_path))
    assert names(source) == {"cat/a.jpg": "cat", "dog/a.jpg": "dog"}
    unused = "table that is not used: the folders give the classes"
    assert skipped(source) == {"labels.csv": unused, "more.csv": unused}


def test_csv_with_other_labels_replaces_class_folders(tmp_path):
    for name in ("part1", "part2"):
        write(tmp_path / name / "a.jpg")
    (tmp_path / "labels.csv").write_text("file,label\npart1/a.jpg,cat\npart2/a.jpg,dog\n")
    assert names(list_source(str(tmp_path))) == {"part1/a.jpg": "cat", "part2/a.jpg": "dog"}


def test_csv_with_an_unnamed_index_column_is_listed(tmp_path):
    for name in "ab":
        write(tmp_path / f"{name}.jpg")
    (tmp_path / "t.csv").write_text(",file,label\n0,a.jpg,x\n1,b.jpg,y\n")
    assert names(list_source(str(tmp_path))) == {"a.jpg": "x", "b.jpg": "y"}
