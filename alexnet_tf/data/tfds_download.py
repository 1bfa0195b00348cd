"""What preparing a TFDS data set needs: a lock, a reachable host, and messages in one line."""

import contextlib
import queue
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import filelock

from alexnet_tf.console import ProgressReporter

_PROBE_SECONDS = 4.0
_MAX_PROBES = 8


@contextlib.contextmanager
def locked(path: Path, name: str, reporter: ProgressReporter) -> Iterator[None]:
    """Holds a lock while the block runs; waits for a process that holds it, and says so.

    Args:
      path: The lock's file, which stays.
      name: What is prepared, for the message.
      reporter: Where waiting is shown.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        reporter.message(f"waiting for another process that prepares {name}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def any_reachable(urls: tuple[str, ...], seconds: float = _PROBE_SECONDS) -> bool:
    """Returns whether a host of `urls` responds in time; TFDS itself would try for minutes.

    One request per host, all in parallel, in threads that nothing waits for: a name server that
    does not respond has no time limit of its own.
    """
    hosts = {urllib.parse.urlparse(url).netloc: url for url in urls}
    deadline = time.monotonic() + seconds + 0.5
    results: queue.Queue[bool] = queue.Queue()

    def probe(url: str) -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=seconds).close()
        except urllib.error.HTTPError:
            results.put(True)  # the host responds: some hosts do not support HEAD
        except (OSError, ValueError):
            results.put(False)
        else:
            results.put(True)

    probed = list(hosts.values())[:_MAX_PROBES]
    for url in probed:
        threading.Thread(target=probe, args=(url,), daemon=True).start()
    try:
        return any(results.get(timeout=max(deadline - time.monotonic(), 0)) for _ in probed)
    except queue.Empty:
        return False


def first_line(error: BaseException) -> str:
    """Returns the first line of TFDS's message, without the call that it repeats."""
    message = re.sub(r'^(\w+: )?Failed to construct dataset .*?\}": ', "", str(error))
    message = message.split(" Here are")[0]  # a list over several lines
    return next((line.strip() for line in message.splitlines() if line.strip()), repr(error))
