"""What tests of `prepare` share: photos to prepare, and what a folder holds."""

import hashlib
from pathlib import Path

from hostile import encoded, photo

ROOT = Path(__file__).parents[2]


def make_photos(root, train=40, val=9):
    for split, count in (("train", train), ("val", val)):
        for i in range(count):
            path = root / split / ("cat", "dog", "wild boar")[i % 3] / f"{i:03d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(photo(60 + i, 48, seed=i + (1000 if split == "val" else 0))))
    (root / "train" / "cat" / "000 again.jpg").write_bytes(
        (root / "train" / "cat" / "000.jpg").read_bytes()
    )
    (root / "train" / "dog" / "bad.jpg").write_bytes(b"bad")


def content(folder):
    """The bytes of every file by name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
