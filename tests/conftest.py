"""What tests of every part may use."""

import shutil
import signal
import sys

import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell starts what runs in its background so, and what the tests interrupt would never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def no_collection(monkeypatch):
    """Collecting garbage takes a second late in a run, and stand-ins for trainings leave none."""
    monkeypatch.setattr("gc.collect", lambda *generation: 0)


@pytest.fixture(autouse=True, scope="session")
def command_line_of_a_clone():
    """Messages name the command that the user called: in tests, that of a clone."""
    called, sys.argv[0] = sys.argv[0], "cli.py"
    yield
    sys.argv[0] = called


CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, by playwright; skips where either is missing."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no browser test: playwright is missing (extra `browser`)"
    )
    path = next((found for name in CHROMIUMS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser test: none of {', '.join(CHROMIUMS)} is installed")
    with playwright.sync_playwright() as started:
        # Containers often run as root, where Chromium's own sandbox does not.
        opened = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()
