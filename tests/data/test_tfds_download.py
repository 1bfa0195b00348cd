"""Locking and reachable hosts: what preparing a TFDS data set needs."""

import io
import threading
import time
import urllib.error
import urllib.request

import filelock

from alexnet_tf.console import ProgressReporter
from alexnet_tf.data.tfds_download import any_reachable, locked


def unreachable(error):
    def urlopen(request, timeout):
        raise error

    return urlopen


def test_a_network_that_never_answers_is_given_up_in_time(monkeypatch):
    over = threading.Event()

    def urlopen(request, timeout):
        over.wait(30)
        raise urllib.error.URLError("at last")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    started = time.perf_counter()
    assert not any_reachable(("http://a.test/x", "http://b.test/y"), seconds=0.2)
    assert time.perf_counter() - started < 5
    over.set()


def test_any_answer_is_an_answer(monkeypatch):
    refused = urllib.error.HTTPError("http://a.test", 403, "Forbidden", {}, None)
    monkeypatch.setattr(urllib.request, "urlopen", unreachable(refused))
    assert any_reachable(("http://a.test/x",))


def test_locked_waits_for_the_process_that_prepares_and_says_so(tmp_path):
    path, shown, entered = tmp_path / "new" / ".set.lock", io.StringIO(), threading.Event()

    def wait():
        with locked(path, "cifar10", ProgressReporter(file=shown)):
            entered.set()

    path.parent.mkdir()
    with filelock.FileLock(path):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not entered.wait(0.3)
    thread.join(10)
    assert entered.is_set()
    assert shown.getvalue() == "waiting for another process that prepares cifar10\n"
