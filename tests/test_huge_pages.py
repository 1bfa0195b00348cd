"""A process asks for large pages once, and is otherwise what it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet_tf import huge_pages

CODE = """
import os, sys
from alexnet_tf import huge_pages
huge_pages._on_request = lambda: {asked}
huge_pages.restart_with_huge_pages()
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:])
"""


def run(asked, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"} | variables
    process = subprocess.Popen(
        [sys.executable, "-c", CODE.format(asked=asked), "a b", "--c"],
        env=environment,
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    pid, rest = output.strip().split(" ", 1)
    assert int(pid) == process.pid  # signals and shells see one process
    return rest


def test_it_starts_again_once_with_its_arguments():
    assert run(True) == "glibc.malloc.hugetlb=1 ['a b', '--c']"


def test_what_is_set_is_kept():
    assert run(True, GLIBC_TUNABLES="glibc.malloc.hugetlb=0").startswith("glibc.malloc.hugetlb=0 ")
    wanted = "glibc.malloc.check=0:glibc.malloc.hugetlb=1 "
    assert run(True, GLIBC_TUNABLES="glibc.malloc.check=0").startswith(wanted)


def test_nothing_happens_where_the_kernel_does_not_listen():
    assert run(False).startswith("None ")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("always [madvise] never", True),
        ("[always] madvise never", False),
        ("always madvise [never]", False),
        (None, False),
    ],
)
def test_the_kernels_setting_is_read(tmp_path, monkeypatch, setting, expected):
    path = tmp_path / "enabled"
    if setting is not None:
        path.write_text(setting + "\n")
    monkeypatch.setattr(huge_pages, "_SETTING", path)
    assert huge_pages._on_request() is expected
