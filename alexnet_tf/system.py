"""The operating system and the installation: cores, memory, quiet imports, dependencies.

Nothing here imports TensorFlow before `import_tensorflow` is called, and everything that only some
systems have (transparent huge pages, processor affinity) has a fallback.
"""

import contextlib
import dataclasses
import importlib
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from alexnet_tf.errors import InputError

_PROCESSORS = Path("/proc/cpuinfo")
_INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
_TUNABLES = "GLIBC_TUNABLES"
_HUGE = "glibc.malloc.hugetlb=1"  # glibc 2.35: malloc requests transparent huge pages
_HUGE_PAGE_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def command_name() -> str:
    """Returns how the user called the command line, for messages and examples.

    "alexnet-tf" for the installed script and from Python, "python cli.py" from a clone,
    "python -m alexnet_tf" for the module.
    """
    script = Path(sys.argv[0] if sys.argv else "")
    if script.name == "cli.py":
        return "python cli.py"
    if script.name == "__main__.py" and script.parent.name == "alexnet_tf":
        return "python -m alexnet_tf"
    return "alexnet-tf"


def missing_dependency(error: ImportError) -> str | None:
    """Returns what to do about a dependency that cannot be imported; None for our own modules."""
    name = (error.name or str(error)).split(".")[0]
    if name == "alexnet_tf":
        return None
    problem = f"{name} is not installed for {sys.executable}"
    if not isinstance(error, ModuleNotFoundError):  # a file is missing: installing was cancelled
        reason = str(error).splitlines()[0]
        problem = f"{error.name or 'a dependency'} cannot be imported ({reason})"
    return (
        f"{problem}: activate the environment in which you installed alexnet-tf, or install it "
        "again: pip install -c constraints.txt -e ."
    )


def available_cores() -> int:
    """Returns how many cores this process may use; `taskset` or a container may limit them."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows: all cores of the machine
        return os.cpu_count() or 1


@dataclasses.dataclass(frozen=True)
class Processor:
    """The processor of this machine.

    Attributes:
      name: Its model, as the system names it.
      instruction_sets: Those that decide the speed of a network, such as "amx_bf16"; only Linux
        lists them.
      cores: Cores that this process may use, which is the number of threads.
    """

    name: str
    instruction_sets: tuple[str, ...]
    cores: int

    def __str__(self) -> str:
        known = ", ".join(self.instruction_sets) or "instruction sets unknown"
        return f"{self.name}: {self.cores} core{'s' * (self.cores != 1)} used; {known}"


def processor() -> Processor:
    """Returns the processor of this machine."""
    import platform

    try:
        text = _PROCESSORS.read_text(encoding="ascii", errors="replace")
    except OSError:  # not on macOS or Windows
        text = ""
    pairs = (line.partition(":") for line in text.splitlines())
    lines = {key.strip(): value.strip() for key, _, value in pairs}
    name = lines.get("model name") or platform.processor() or platform.machine()
    flags = lines.get("flags", "").split()
    return Processor(name, tuple(f for f in _INSTRUCTION_SETS if f in flags), available_cores())


def peak_memory_bytes() -> int | None:
    """Returns the peak memory of this process; None where the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextlib.contextmanager
def signals_noticed(numbers: Collection[int], on_signal: Callable[[], None]) -> Iterator[None]:
    """Calls `on_signal` from a thread immediately at the first signal while the block runs.

    Python's handlers wait until a call into TensorFlow returns: seconds, with a large network.
    """
    receiving, sending = socket.socketpair()
    sending.setblocking(False)

    def wait() -> None:
        while (received := receiving.recv(1)) and received[0] not in numbers:
            pass
        if received:
            on_signal()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    previous = signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        sending.close()
        thread.join()
        receiving.close()


def huge_page_environment() -> dict[str, str]:
    """Returns the environment for a child process that allocates memory in huge pages.

    Huge pages shorten a training step on Linux by a tenth.
    """
    current = os.environ.get(_TUNABLES)
    if current is not None and "glibc.malloc.hugetlb" in current:
        return dict(os.environ)
    return {**os.environ, _TUNABLES: f"{current}:{_HUGE}" if current else _HUGE}


def restart_with_huge_pages() -> None:
    """Restarts this program in the same process, with huge pages enabled.

    The allocator reads its settings only at start-up. Nothing happens if they are set already, or
    if the kernel does not grant huge pages on request.
    """
    environment = huge_page_environment()
    if environment == dict(os.environ) or not _grants_huge_pages():
        return
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _grants_huge_pages() -> bool:
    """Returns whether the kernel grants huge pages to programs that request them."""
    try:
        return "[madvise]" in _HUGE_PAGE_SETTING.read_text(encoding="ascii")
    except OSError:
        return False


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discards what is written to file descriptor 2 inside the block, by C++ code too.

    Use it around TensorFlow's import, its first operation (which starts the devices), converters
    and interpreters, and nothing else. If the block fails, the discarded text is written
    after all, unless a module is missing.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held, contextlib.ExitStack() as stack:
        saved = os.dup(2)
        stack.callback(os.close, saved)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except ImportError:  # the error itself says all that matters
            raise
        except BaseException:
            os.dup2(saved, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)


def import_tensorflow(*, start_devices: bool = True) -> None:
    """Imports TensorFlow and Keras, and runs the first operation, without their log lines.

    TensorFlow's errors are raised as exceptions all the same; its C++ log stays off unless the user
    has set TF_CPP_MIN_LOG_LEVEL. Deprecation warnings between its libraries, and warnings for
    those who write graphs, such as those of retracing, are not shown. GPU memory is allocated only
    when needed, so that `evaluate` runs beside a training on one GPU.

    Args:
      start_devices: Whether to run the first operation. Pass False if `tf.distribute` strategies
        over several workers or logical devices follow, since they must be set up first; then put
        `quiet_stderr` around their set-up.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    with quiet_stderr():
        import keras  # noqa: F401
        import tensorflow as tf

        if start_devices:
            tf.zeros(()).numpy()
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)


def import_optional(module: str, purpose: str, extra: str) -> Any:
    """Imports an optional dependency.

    Args:
      module: The module's name.
      purpose: What needs it, for the message: "reading .onnx files".
      extra: The extra of this package that installs it.

    Raises:
      InputError: It is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{purpose} needs {module.split('.')[0]}: pip install 'alexnet-tf[{extra}]', or from "
            f"a clone pip install -c constraints.txt -e '.[{extra}]'"
        ) from error
