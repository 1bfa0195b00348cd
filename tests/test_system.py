"""Cores, memory, quiet imports and dependencies, also where the system lacks them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet_tf import system
from alexnet_tf.errors import InputError

ROOT = Path(__file__).parents[1]
RESTART = """
import os, sys
from alexnet_tf import system
system._grants_huge_pages = lambda: {granted}
system.restart_with_huge_pages()
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:])
"""
# What macOS or Windows lack or do otherwise; using it fails as it does there.
WITHOUT = """
import os, pathlib, signal, sys
for name in ("fcntl", "resource", "msvcrt", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("fork", "sched_getaffinity", "sched_setaffinity", "getuid", "kill",
             "pread", "preadv", "posix_fadvise", "memfd_create", "O_CLOEXEC", "O_DIRECTORY"):
    if hasattr(os, name): delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGALRM", "alarm", "setitimer"):
    if hasattr(signal, name): delattr(signal, name)
def link(source, target):
    raise OSError("not supported")
os.link = link
os.fsync = lambda descriptor: os.write(descriptor, b"")  # fails for a file open for reading only
def write_text(path, text, encoding=None, errors=None, newline=None):
    text = text.replace("\\n", "\\r\\n") if newline is None else text
    path.write_bytes(text.encode(encoding or "utf-8", errors or "strict"))
pathlib.Path.write_text = write_text
"""


def python(code, *arguments, **variables):
    """Runs code in a fresh interpreter from the repository's root."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("cli.py", "python cli.py"),
        ("/home/me/alexnet/cli.py", "python cli.py"),
        ("/usr/bin/alexnet-tf", "alexnet-tf"),
        (r"alexnet-tf.exe", "alexnet-tf"),
        ("/lib/site-packages/alexnet_tf/__main__.py", "python -m alexnet_tf"),
        ("/lib/site-packages/ipykernel/__main__.py", "alexnet-tf"),
        ("", "alexnet-tf"),
    ],
)
def test_command_name_is_how_the_user_called_it(script, expected, monkeypatch):
    monkeypatch.setattr(sys, "argv", [script])
    assert system.command_name() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux limits cores")
def test_available_cores_respects_processor_affinity():
    done = python(
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from alexnet_tf.system import available_cores; print(available_cores())"
    )
    assert done.stdout.strip() == "1"


def test_available_cores_without_affinity_are_all_of_the_machine(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert system.available_cores() == 6


def test_peak_memory_counts_what_was_allocated():
    pytest.importorskip("resource")
    done = python(
        "from alexnet_tf.system import peak_memory_bytes as peak\n"
        "kept = b'x' * 200_000_000; print(peak())"
    )
    # A child's peak begins with its parent's: only the unit can be tested.
    assert 200_000_000 < int(done.stdout) < 200_000_000_000


def test_processor_is_named_with_the_instruction_sets_that_matter(tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    path.write_text(
        "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu avx2 avx512f amx_bf16\n\n" * 2
    )
    monkeypatch.setattr(system, "_PROCESSORS", path)
    monkeypatch.setattr(system, "available_cores", lambda: 2)
    found = system.processor()
    assert (found.name, found.instruction_sets) == ("Xeon", ("avx2", "avx512f", "amx_bf16"))
    assert str(found) == "Xeon: 2 cores used; avx2, avx512f, amx_bf16"


def test_processor_without_cpuinfo_has_a_name_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(system, "_PROCESSORS", tmp_path / "missing")
    found = system.processor()
    assert found.name and found.instruction_sets == ()
    assert "instruction sets unknown" in str(found)


def test_peak_memory_without_the_resource_module_is_unknown(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert system.peak_memory_bytes() is None


def test_every_module_and_the_main_calls_work_without_what_only_linux_has(tmp_path):
    code = (
        WITHOUT + "import pkgutil, importlib, alexnet_tf\n"
        "from alexnet_tf.system import import_tensorflow\n"
        "import_tensorflow(start_devices=False)\n"
        "for found in pkgutil.walk_packages(alexnet_tf.__path__, 'alexnet_tf.'):\n"
        "    if found.name != 'alexnet_tf.__main__': importlib.import_module(found.name)\n"
        "from alexnet_tf.export.export import ExportOptions, export\n"
        "run, out = sys.argv[1:]\n"
        "alexnet_tf.train('shapes', epochs=1, limit_train=32, limit_val=32, batch_size=32,\n"
        "                 run_dir=run, quiet=True)\n"
        "alexnet_tf.evaluate(run)\n"
        "classifier = alexnet_tf.open_classifier(run)\n"
        "picture = pathlib.Path(run, 'curves.png').read_bytes()\n"
        "print(*alexnet_tf.predict(classifier, [('curves.png', picture)]))\n"
        "print(export(ExportOptions(run, out=out)))"
    )
    done = python(code, str(tmp_path / "run"), str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "best.keras" in done.stdout


def restart(granted, **variables):
    """Returns what the restarted process prints; its process ID must stay the same."""
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"} | variables
    process = subprocess.Popen(
        [sys.executable, "-c", RESTART.format(granted=granted), "a b", "--c"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    pid, rest = output.strip().split(" ", 1)
    assert int(pid) == process.pid  # signals and shells see one process
    return rest


def test_restart_with_huge_pages_happens_once_and_keeps_the_arguments():
    assert restart(True) == "glibc.malloc.hugetlb=1 ['a b', '--c']"


def test_restart_with_huge_pages_keeps_the_user_s_tunables():
    kept = restart(True, GLIBC_TUNABLES="glibc.malloc.hugetlb=0")
    assert kept.startswith("glibc.malloc.hugetlb=0 ")
    wanted = "glibc.malloc.check=0:glibc.malloc.hugetlb=1 "
    assert restart(True, GLIBC_TUNABLES="glibc.malloc.check=0").startswith(wanted)


def test_no_restart_where_the_kernel_grants_no_huge_pages():
    assert restart(False).startswith("None ")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("always [madvise] never", True),
        ("[always] madvise never", False),
        ("always madvise [never]", False),
        (None, False),
    ],
)
def test_huge_page_setting_of_the_kernel_is_read(tmp_path, monkeypatch, setting, expected):
    path = tmp_path / "enabled"
    if setting is not None:
        path.write_text(setting + "\n")
    monkeypatch.setattr(system, "_HUGE_PAGE_SETTING", path)
    assert system._grants_huge_pages() is expected


def test_quiet_stderr_writes_what_it_discarded_if_the_block_fails():
    done = python(
        "import os\n"
        "from alexnet_tf.system import quiet_stderr\n"
        "with quiet_stderr(): os.write(2, b'dropped')\n"
        "try:\n"
        "    with quiet_stderr():\n"
        "        os.write(2, b'kept')\n"
        "        raise ValueError\n"
        "except ValueError: os.write(2, b' after')\n"
    )
    assert done.stderr == "kept after"


def test_missing_optional_dependency_names_the_command_that_installs_it():
    with pytest.raises(InputError, match=r"drawing needs no_such_module: pip install .*\[demo\]"):
        system.import_optional("no_such_module.part", "drawing", "demo")


def test_a_dependency_of_a_cancelled_installation_is_named_with_the_reason():
    half = ImportError("cannot import name 'box' from 'rich'", name="rich")
    message = system.missing_dependency(half)
    assert message.startswith("rich cannot be imported (cannot import name 'box' from 'rich'): ")
    assert message.endswith("pip install -c constraints.txt -e .")
    library = ImportError("libcudart.so.12: cannot open shared object file\nsecond line")
    message = system.missing_dependency(library)
    assert message.startswith("a dependency cannot be imported (libcudart.so.12: ")
    assert "\n" not in message
    assert system.missing_dependency(ImportError("x", name="alexnet_tf.console")) is None


@pytest.mark.parametrize(("given", "expected"), [(None, "true"), ("false", "false")])
def test_gpu_memory_is_taken_as_needed_unless_the_user_decides(monkeypatch, given, expected):
    name = "TF_FORCE_GPU_ALLOW_GROWTH"
    monkeypatch.setenv(name, given or "")
    if given is None:
        monkeypatch.delenv(name)
    system.import_tensorflow(start_devices=False)
    assert os.environ[name] == expected
