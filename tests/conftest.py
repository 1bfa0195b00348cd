"""What tests of every part may use."""

import os
import shutil
import signal
import sys

import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell starts what runs in its background so, and what the tests interrupt would never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """Hides GPUs from all tests, and from the processes that they start, unless run by `-m gpu`."""
    config.addinivalue_line("markers", "gpu: needs a GPU; skipped unless chosen by `-m gpu`")
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def pytest_collection_modifyitems(config, items):
    if config.option.markexpr != "gpu":
        for item in items:
            if item.get_closest_marker("gpu") is not None:
                item.add_marker(pytest.mark.skip(reason="hides GPUs: run by `-m gpu`"))


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
