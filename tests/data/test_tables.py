"""Tables of images and classes: forms, encodings, and one-line errors for others."""

import pytest

from alexnet_tf.data.tables import check_encoding, read_table
from alexnet_tf.errors import InputError


def read(tmp_path, content, encoding=None, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows = read_table(path, encoding)
    return rows and [(row.file, row.label, row.split) for row in rows]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("id,breed\n000,pug\n", [("000", "pug", "")]),
        ("fname,labels,is_valid\na.jpg,x,True\nb.jpg,y,False\n", ["ax val", "by train"]),
        ("Path;ClassId;Split\r\na.jpg;7;Test\r\n", [("a.jpg", "7", "test")]),
        ("a.jpg,x\nb.jpg,y\n", ["ax ", "by "]),  # no header
        ("a.jpg\tx\t0\t0\t9\t9\n", ["ax "]),  # val_annotations.txt
        ("a.jpg 0\n\nb.jpg  1\n", ["a0 ", "b1 "]),  # Caffe's train.txt
        ("my photos/a.jpg 3\n", [("my photos/a.jpg", "3", "")]),
        ("img\\a.jpg,x\n", [("img\\a.jpg", "x", "")]),
        ("ImageId,PredictionString\nv1,n01 1 2 3 4\n", [("v1", "n01", "")]),
        (",file,label\n0,a.jpg,\n", ["a "]),
        ('file,label\na.jpg,"x, or\ny"\nb.jpg,z\n', [("a.jpg", "x, or\ny", ""), "bz "]),
    ],
)
def test_table_form_is_read(content, rows, tmp_path):
    short = [(f"{r[0]}.jpg", *r[1:].split(" ")) if isinstance(r, str) else r for r in rows]
    assert read(tmp_path, content) == short


def test_one_hot_table_has_the_class_whose_cell_is_1(tmp_path):
    (tmp_path / "t.csv").write_text(
        "Unnamed: 0,image,age,MEL,NV,is_valid\n0,a,35,1.0,0.0,0\n1,b,1,0.0,1.0,1\n"
        "0,c,1,0.0,0.0,0\n1,d,0,1.0,1.0,0\n"
    )
    rows = read_table(tmp_path / "t.csv")
    assert [(row.line, row.file, row.label, row.split, row.problem) for row in rows] == [
        (2, "a", "MEL", "train", ""),
        (3, "b", "NV", "val", ""),
        (4, "c", "", "train", "row without class"),
        (5, "d", "", "train", "row with several classes"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n\n",
        "some words\nand more\n",
        "id,MEL,NV\na,0.5,0.5\n",  # a submission: probabilities
        "id,MEL,NV\na,0,0\n",
        "image_id\na\n",
        "goldfish,label\na,b\n",
        "train/1\ntrain/2\n",
    ],
)
def test_other_text_is_not_a_table(content, tmp_path):
    assert read(tmp_path, content) is None


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("option", [None, "gbk"])
def test_byte_order_mark_is_followed(encoding, option, tmp_path):
    content = "file\tlabel\r\na.jpg\t猫\r\nb.jpg\tété\r\n".encode(encoding)
    assert read(tmp_path, content, option) == [("a.jpg", "猫", ""), ("b.jpg", "été", "")]


@pytest.mark.parametrize(
    ("encoding", "label", "detected"),
    [
        ("gbk", "黑猫", "gbk"),
        ("latin-1", "Bär", "latin-1"),
        ("latin-1", "café", "latin-1"),
        ("cp1252", "cœur", "cp1252"),
        ("utf-16-le", "été", "utf-16-le"),
        ("utf-16-be", "dog", "utf-16-be"),
    ],
)
def test_other_encoding_is_rejected_with_the_one_that_fits(encoding, label, detected, tmp_path):
    content = f"file,label\na.jpg,{label}\nb.jpg,dog\n".encode(encoding)
    with pytest.raises(
        InputError, match=rf"t\.csv is not UTF-8 text: .*--encoding {detected}, "
    ) as e:
        read(tmp_path, content)
    assert label.isascii() or f"which reads '{label}'" in str(e.value)
    assert read(tmp_path, content, detected)[0] == ("a.jpg", label, "")


def test_encoding_that_does_not_fit_is_rejected(tmp_path):
    with pytest.raises(InputError, match=r"is not GBK text.*--encoding latin-1"):
        read(tmp_path, "file,label\na.jpg,ä\n".encode("latin-1"), "gbk")
    with pytest.raises(InputError, match=r"is not UTF-16 text: save it as UTF-8$"):
        read(tmp_path, b"\xff\xfe\x00")
    for name in ("klingon", "hex", ""):
        with pytest.raises(InputError, match=f"--encoding {name}: unknown encoding"):
            check_encoding(name)
    check_encoding("gbk")
