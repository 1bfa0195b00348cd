"""The report of a run: a page without other files, the numbers of `evaluate`, error messages."""

import dataclasses
import itertools
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from alexnet_tf import runs
from alexnet_tf.commands.report import PICTURES as OFFERED
from alexnet_tf.report.figures import FIGURES
from tests.report.conftest import CLASSES, command

pytestmark = pytest.mark.slow  # a run is trained first
VOID = {"meta", "img", "source", "link", "br"}


class Page(HTMLParser):
    """A page's elements with attributes and text; fails on tags that do not match."""

    def __init__(self, path):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.scripts = {}
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        inside, attributes = self.open[-1] if self.open else ("", {})
        if inside == "script":
            self.scripts[attributes["id"]] = data
        elif inside != "style" and data.strip():
            self.words.append(data.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(made):
    return Page(Path(made["report"]))


def test_page_has_no_external_references(made, page):
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed")
        for name in ("src", "srcset", "href", "poster", "action", "data"):
            if name in attributes:
                assert attributes[name].startswith(("data:image/", "#")), (tag, name)
    text = Path(made["report"]).read_text(encoding="utf-8")
    assert all(url.startswith("data:image/") for url in re.findall(r"url\(([^)]*)", text))
    assert "@import" not in text
    (script,) = page.all("script")
    assert script["type"] == "application/json"  # no code


def test_numbers_equal_those_of_evaluate(home, made, page):
    words = ("evaluate", "--run", home / "run", "--ten-crop", "--json")
    code, out, _ = command(*words)
    assert code == 0
    assert made["evaluation"] == json.loads(out)
    assert json.loads(page.scripts["evaluation"]) == json.loads(out)
    for kind in ("center_crop", "ten_crop"):
        errors = made["evaluation"][kind]
        assert errors["examples"] == 27
        assert f"{errors['top1_error']:.2%}" in page.words
        low, high = errors["top1_interval"]
        assert f"95% interval {low:.2%} to {high:.2%}" in page.words


def test_page_of_three_classes_has_no_top_5_error(page):
    assert "top-1" in page.words
    assert not [words for words in page.words if "top-5" in words.lower()]


def test_images_have_alternative_texts_and_headings_are_in_order(page):
    images = page.all("img")
    assert len(images) > 2 * 6
    assert all(image["alt"].strip() for image in images)
    assert all(int(image["width"]) > 0 and int(image["height"]) > 0 for image in images)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("caption")) == len(page.all("table"))


def test_class_names_are_escaped(page):
    assert page.all("b") == []
    for name in CLASSES:
        assert name in page.words
    # Browsers have fonts for letters that matplotlib cannot draw.
    assert not [image["alt"] for image in page.all("img") if "predicted as class" in image["alt"]]


def test_page_names_the_command_that_prints_its_numbers(home, page):
    command = f"python cli.py evaluate --run {home / 'run'} --split validation --ten-crop --json"
    assert command in page.words
    template = Path(runs.__file__).parent / "report" / "templates" / "report.html.j2"
    assert "cli.py" not in template.read_text("utf-8")  # an installed package has none


def test_pictures_are_written_beside_the_page(home, made):
    assert tuple(made["pictures"]) == tuple(
        name for name in FIGURES if Path(home / "run" / "pictures" / f"{name}.png").exists()
    )
    assert {"kernels", "confusion", "activations", "features", "similar"} <= made["pictures"].keys()
    for name, path in made["pictures"].items():
        assert Path(path) == home / "run" / "pictures" / f"{name}.png"
        with Image.open(path) as image:
            assert min(image.size) > 100
    assert not list((home / "run").glob("**/.*.writing*"))


def test_command_offers_every_figure():
    assert tuple(FIGURES) == OFFERED


def test_kernels_picture_needs_no_data_set(home, tmp_path):
    shutil.copytree(
        home / "run", tmp_path / "run", ignore=shutil.ignore_patterns("check*", "pict*", "*.html")
    )
    record = runs.read_run(tmp_path / "run")
    options = record.options.replace(dataset=str(tmp_path / "gone"))
    runs.write_run(tmp_path / "run", record.replace(options=options))
    words = ("report", "--run", tmp_path / "run")
    out = tmp_path / "kernels.svg"
    assert command(*words, "--only", "kernels", "--out", out) == (0, f"{out}\n", "")
    assert "<svg" in out.read_text(encoding="utf-8")
    code, stdout, err = command(*words)
    assert (code, stdout, err.count("\n")) == (2, "", 1)
    assert "gone" in err
    assert not list((tmp_path / "run").glob("*.html")) + list((tmp_path / "run").glob("pict*"))


def test_activations_of_a_given_image(home, tmp_path):
    photo = next((home / "photos" / "val").glob("*/*.png"))
    out = tmp_path / "activations.png"
    words = ("report", "--run", home / "run", "--only", "activations", "--out", out, "--json")
    code, stdout, _ = command(*words, "--image", photo)
    values = json.loads(stdout)
    assert (code, values["report"], values["evaluation"]) == (0, None, None)
    assert values["pictures"] == {"activations": str(out)}
    (tmp_path / "no.jpg").write_bytes(b"\xff\xd8 no more")
    code, _, err = command(*words, "--image", tmp_path / "no.jpg")
    assert (code, err.count("\n")) == (2, 1)
    assert "no.jpg" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--only kernels --out a.html", "a.html"),
        ("--only kernels --only curves --out a.png", "--out"),
        ("--out a.png", ".html"),
        ("--out no/such/folder/a.html", "no/such/folder"),
        ("--only nothing", "nothing"),
        ("--only activations --image missing.jpg", "missing.jpg"),
        ("--split test", "test"),
        ("--run elsewhere", "elsewhere"),
    ],
)
def test_invalid_input_is_rejected_in_one_line(home, words, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = command("report", "--run", home / "run", *words.split())
    assert (code, out) == (2, "")
    assert err.startswith("Error: ") and err.count("\n") == 1
    assert expected in err
    assert list(tmp_path.iterdir()) == []


def test_missing_training_images_leave_no_files(home, tmp_path):
    images = sorted((home / "photos" / "train").glob("*/*.png"))
    for image in images:
        image.rename(image.with_suffix(".away"))
    try:
        code, _, err = command("report", "--run", home / "run", "--out", tmp_path / "a.html")
    finally:
        for image in images:
            image.with_suffix(".away").rename(image)
    assert (code, "has no images" in err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_image_name_that_is_not_utf_8_is_escaped(home, tmp_path):
    photo = tmp_path / os.fsdecode(b"caf\xe9.png")
    shutil.copy(next((home / "photos" / "val").glob("*/*.png")), photo)
    out = tmp_path / "a.html"
    code, _, err = command("report", "--run", home / "run", "--out", out, "--image", photo)
    assert code == 0, err
    assert r"caf\xe9.png" in out.read_text(encoding="utf-8")


def test_read_only_run_needs_out_for_its_report(home, tmp_path, monkeypatch):
    run = home / "run"
    before = sorted(run.rglob("*"))
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK or Path(path) != run)
    for words in ((), ("--only", "kernels"), ("--out", run / "page.html")):
        code, _, err = command("report", "--run", run, *words)
        assert (code, err.count("\n"), "is read-only" in err, "--out" in err) == (2, 1, True, True)
    # A folder whose name is not UTF-8 is printed with escapes.
    folder = tmp_path / os.fsdecode(b"\xb9\xb7")
    folder.mkdir()
    out = folder / "kernels.png"
    code, stdout, err = command("report", "--run", run, "--only", "kernels", "--out", out)
    assert (code, err) == (0, "")
    assert stdout == f"{tmp_path}/\\xb9\\xb7/kernels.png\n"
    assert out.is_file() and sorted(run.rglob("*")) == before


def test_no_picture_is_written_if_one_has_no_data(home, tmp_path, monkeypatch):
    run = shutil.copytree(home / "run", tmp_path / "run")
    shutil.rmtree(run / "pictures", ignore_errors=True)
    monkeypatch.setitem(
        FIGURES, "curves", dataclasses.replace(FIGURES["curves"], draw=lambda *given: None)
    )
    code, _, err = command("report", "--run", run, "--only", "kernels", "--only", "curves")
    assert (code, "--only curves" in err) == (2, True)
    assert not (run / "pictures").exists()
