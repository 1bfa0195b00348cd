import os
import subprocess
import sys

import pytest

from alexnet_tf.cores import available_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone can limit cores")
def test_a_process_limited_to_one_core_counts_one():
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from alexnet_tf.cores import available_cores; print(available_cores())"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert said.stdout.strip() == b"1"


def test_elsewhere_all_of_the_machine_s_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores() == 6
