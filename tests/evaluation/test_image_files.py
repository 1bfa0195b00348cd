"""From what the user names to image files."""

import io

import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.image_files import find_images, read_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "deep/er/c.gif", ".git/d.png"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_stands_for_the_images_below_it_in_order(folder):
    assert find_images(["photos"]) == ["photos/a.png", "photos/b.JPG", "photos/deep/er/c.gif"]


def test_patterns_files_and_standard_input_keep_the_order_they_are_given_in(folder):
    given = ["photos/**/*.gif", "-", "photos/notes.txt", "photos/*"]
    assert find_images(given) == [
        "photos/deep/er/c.gif",
        "-",
        "photos/notes.txt",  # named outright: the user's word for it
        "photos/a.png",
        "photos/b.JPG",
    ]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(folder):
    (folder / "photos" / "[1].png").write_bytes(b"")
    assert find_images(["photos/[1].png"]) == ["photos/[1].png"]


@pytest.mark.parametrize("source", ["none.jpg", "photos/*.bmp", "photos/deep/empty"])
def test_what_is_not_there_is_refused_by_name(folder, source):
    (folder / "photos/deep/empty").mkdir()
    with pytest.raises(InputError, match=source.replace("*", r"\*")):
        find_images([source])


def test_standard_input_is_read_once(folder):
    with pytest.raises(InputError, match="standard input"):
        find_images(["-", "-"])


def test_files_are_read_and_what_cannot_be_read_is_told(folder):
    (folder / "photos" / "a.png").unlink()
    read = list(read_images(["photos/b.JPG", "photos/a.png", "-"], io.BytesIO(b"image")))
    assert read == [
        ("photos/b.JPG", b"b.JPG"),
        ("photos/a.png", "No such file or directory"),
        ("standard input", b"image"),
    ]
