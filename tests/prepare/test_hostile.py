"""A folder of hostile files: all are accounted for, and the usable ones are repaired."""

import csv
import json
import os

import numpy as np
import pytest
from hostile import SKIPPED, USED, encoded, files, photo, special

from alexnet_tf.data.sources import open_dataset
from alexnet_tf.files import printable
from alexnet_tf.prepare.prepare import prepare

FOLDER = "train/hostile"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Prepares the folder once: returns the data set, the report and the problems by file."""
    root = tmp_path_factory.mktemp("hostile")
    folder = root / "photos" / FOLDER
    folder.mkdir(parents=True)
    for name, (content, _, _) in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for make, _ in special(folder).values():
        make()
    (folder / os.fsdecode(b"not \xff utf-8.jpg")).write_bytes(encoded(photo(seed=20)))
    (folder / "link.jpg").symlink_to("plain.jpg")
    tame = root / "photos" / "train" / "tame"
    tame.mkdir()
    (tame / "only.png").write_bytes(encoded(photo(seed=21), "PNG"))
    (root / "photos" / "train" / "loose.jpg").write_bytes(encoded(photo()))
    out = root / "prepared"
    report = prepare(str(root / "photos"), out, size=32, processes=2).report
    with (out / "problems.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    problems: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        problems.setdefault(row["name"], []).append(row)
    examples = open_dataset(out).splits["train"]
    used = {examples.name(i): i for i in range(len(examples))}
    return examples, report, problems, used


def test_there_are_sixty_hostile_files():
    assert len(files()) >= 60


@pytest.mark.parametrize("name", sorted(files()))
def test_hostile_file_is_used_or_skipped_with_a_reason(name, done):
    _, _, problems, used = done
    _, fate, words = files()[name]
    reported = problems.get(printable(f"{FOLDER}/{name}"), [])
    skipped = [row for row in reported if row["action"] == SKIPPED]
    assert (printable(f"{FOLDER}/{name}") in used) == (fate == USED)
    assert len(skipped) == (fate == SKIPPED)
    assert any(words in row["problem"] for row in reported) or (fate == USED and not words)


def test_links_pipes_and_huge_files_are_accounted_for(done, tmp_path):
    _, _, problems, used = done
    for name, (_, words) in special(tmp_path).items():
        (row,) = problems[f"{FOLDER}/{name}"]
        assert row["action"] == SKIPPED
        assert words in row["problem"]
    assert f"{FOLDER}/link.jpg" in used
    assert f"{FOLDER}/not \\xff utf-8.jpg" in used
    assert problems["train/loose.jpg"][0]["problem"] == "in no class"


def test_report_counts_all_files(done):
    examples, report, problems, used = done
    train = report["splits"]["train"]
    expected = sum(fate == USED for _, fate, _ in files().values()) + 3
    assert train["images"] == len(examples) == len(used) == expected
    skips = [row for rows in problems.values() for row in rows if row["action"] == SKIPPED]
    assert train["skipped"] == len(skips)
    assert train["per_class"] == {"hostile": expected - 1, "tame": 1}
    assert train["kinds"]["JPEG CMYK"] == 1
    assert report["duplicates"]["groups"] >= 1
    json.dumps(report)


def test_every_prepared_image_is_read_by_tensorflow(done):
    examples, _, _, used = done
    images = {name: np.asarray(examples.load(index)) for name, index in used.items()}
    assert {image.shape for image in images.values()} == {(32, 32, 3)}

    def pixels(name):
        return images[f"{FOLDER}/{name}"].astype(int)

    upright = pixels("exif1.jpg")
    assert upright.std() > 10
    white = pixels("alpha.png")[:3].mean()
    assert white > pixels("alpha.png")[-3:].mean() + 30  # transparent above, opaque below
    ramp = pixels("16 bit gray.png").mean(axis=(1, 2))
    assert ramp[0] < 12 and ramp[-1] > 243 and (np.diff(ramp) > 0).all()
