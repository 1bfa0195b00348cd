"""Image files named by file, folder or pattern."""

import io

import pytest

from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.image_files import iterate_images, read_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "deep/er/c.gif", ".git/d.png"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folder_gives_its_images_recursively_in_order(folder):
    assert list(iterate_images(["photos"])) == [
        "photos/a.png",
        "photos/b.JPG",
        "photos/deep/er/c.gif",
    ]


def test_folders_are_searched_while_the_images_are_used(folder):
    images = iterate_images(["photos"])
    assert next(images) == "photos/a.png"
    (folder / "photos/deep/er/b.gif").write_bytes(b"")  # its folder has not been searched yet
    assert list(images) == ["photos/b.JPG", "photos/deep/er/b.gif", "photos/deep/er/c.gif"]


def test_all_sources_are_checked_before_the_first_image_is_used(folder):
    with pytest.raises(InputError, match="missing"):
        iterate_images(["photos", "missing"])


def test_sources_keep_their_order(folder):
    given = ["photos/**/*.gif", "-", "photos/notes.txt", "photos/*"]
    assert list(iterate_images(given)) == [
        "photos/deep/er/c.gif",
        "-",
        "photos/notes.txt",  # a file given by name need not look like an image
        "photos/a.png",
        "photos/b.JPG",
    ]


def test_existing_file_named_like_a_pattern_is_a_file(folder):
    (folder / "photos" / "[1].png").write_bytes(b"")
    assert list(iterate_images(["photos/[1].png"])) == ["photos/[1].png"]


@pytest.mark.parametrize("source", ["none.jpg", "photos/*.bmp", "photos/deep/empty"])
def test_missing_source_is_rejected_by_name(folder, source):
    (folder / "photos/deep/empty").mkdir()
    with pytest.raises(InputError, match=source.replace("*", r"\*")):
        iterate_images([source])


def test_missing_sources_are_reported_if_others_have_images(folder):
    missing = []
    given = ["none.jpg", "photos", "photos/*.bmp"]
    found = iterate_images(given, lambda *problem: missing.append(problem))
    assert list(found) == list(iterate_images(["photos"]))
    assert missing == [
        ("none.jpg", "file not found"),
        ("photos/*.bmp", "no image matches this pattern"),
    ]
    with pytest.raises(InputError, match=r"none\.jpg: file not found"):
        iterate_images(["none.jpg", "photos/*.bmp"], lambda *problem: None)


def test_standard_input_twice_is_rejected(folder):
    with pytest.raises(InputError, match="standard input"):
        iterate_images(["-", "-"])


def test_read_images_gives_content_or_the_reason(folder):
    (folder / "photos" / "a.png").unlink()
    read = list(read_images(["photos/b.JPG", "photos/a.png", "-"], io.BytesIO(b"image")))
    assert read == [
        ("photos/b.JPG", b"b.JPG"),
        ("photos/a.png", "No such file or directory"),
        ("standard input", b"image"),
    ]
