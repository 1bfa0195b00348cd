"""Training and inference on GPUs: speed, precision, division between devices, waiting, memory.

    python benchmarks/gpu.py                   (under four minutes on a machine with a GPU)
    python benchmarks/gpu.py --json --recipe paper --images 2048

Each case runs in a process of its own, since devices and precision are set once per process:

  float32, tf32, bfloat16, float16   images/s of training at three batch sizes: one batch that is
                                     repeated, images in memory, and a prepared set (raw pixels);
                                     float32 is without TF32, tf32 with it
  xla                                as bfloat16, with functions compiled by XLA
  two logical GPUs                   made from one: MirroredStrategy and towers against one device
  two GPUs                           likewise, on two real ones
  inference                          latency of one image and images/s of larger batches

The fraction of time spent waiting for input is 1 minus images/s over those of the repeated batch.
Cases that the machine cannot run, or that do not fit into the time, are skipped with a reason.
Without a GPU the smallest case runs on the CPU.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from alexnet_tf.recipes import get_recipe
from alexnet_tf.system import import_tensorflow

LIMIT_SECONDS = 225
PRECISIONS = ("bfloat16", "float32", "tf32", "float16", "xla")


def case_names(gpus: int) -> dict[str, str]:
    """Returns every case, most important first, with the reason to skip it or ""."""
    without = "" if gpus else "no GPU found"
    second = without or ("" if gpus > 1 else "one GPU found")
    names = dict.fromkeys((*PRECISIONS, "two logical GPUs", "inference"), without)
    return {**names, "two GPUs": second, "smallest": "" if not gpus else "GPUs found"}


def run_case(case: str, options: argparse.Namespace, prepared: str, seconds: float) -> Any:
    """Measures a case in a process of its own; returns its result, or the reason without one."""
    if seconds <= 0:
        return {"skipped": f"no time left of {LIMIT_SECONDS} s"}
    command = [sys.executable, __file__, "--case", case, "--recipe", options.recipe]
    command += ["--images", str(options.images), "--prepared", prepared]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"skipped": f"took more than the {seconds:.0f} s left of {LIMIT_SECONDS} s"}
    if ended.returncode:
        return {"skipped": (ended.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(ended.stdout.splitlines()[-1])


def rows_of(cases: dict[str, Any]) -> Iterator[str]:
    """Yields the lines of the table."""
    for case, found in cases.items():
        if "skipped" in found:
            yield f"{case:18} skipped: {found['skipped']}"
        for row in found.get("training", ()):
            sources = [name for name in ("repeated", "memory", "prepared") if name in row]
            speeds = ", ".join(f"{name} {row[name]:,.0f}" for name in sources)
            waiting = ", ".join(f"{row[key]:.0%}" for key in row if key.endswith("_waiting"))
            memory = (row["peak_memory_bytes"] or 0) / 2**20
            yield (
                f"{case:18} batch {row['batch_size']:5}  images/s: {speeds}; waiting {waiting}; "
                f"peak memory {memory:,.0f} MiB"
            )
        for name, milliseconds in found.get("profile", {}).items():
            yield f"{'':18} {milliseconds:9.2f} ms {name[:70]}"
        for row in found.get("inference", ()):
            yield (
                f"{case:18} batch {row['batch_size']:5}  {row['precision']:9} "
                f"{row['median_ms']:.2f} ms (slowest {row['slowest_ms']:.2f}), "
                f"{row['images_per_second']:,.0f} images/s"
            )
        for name, row in found.get("division", {}).items():
            if name != "losses":
                yield (
                    f"{case:18} {name:9} {row['images_per_second']:,.0f} images/s, loss differs by "
                    f"{row['loss_difference']:.1e}"
                )


def main(arguments: list[str] | None = None) -> None:
    """Measures all cases and prints them, or one case as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--recipe", default="paper", help="network, with 1000 classes")
    parser.add_argument("--images", type=int, default=1024, help="number of different images")
    parser.add_argument("--case", help="measure only this case, in this process")
    parser.add_argument("--prepared", default="", help="folder of the prepared set of --case")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    import_tensorflow(start_devices=False)
    import tensorflow as tf
    from gpu_measure import measure, write_prepared

    if options.case:
        print(json.dumps(measure(options.case, options)))
        return
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    result: dict[str, Any] = {"gpus": [each.get("device_name", "") for each in details]}
    cases = result["cases"] = {}
    with tempfile.TemporaryDirectory() as folder:
        prepared = ""
        if gpus:
            prepared = str(write_prepared(Path(folder), get_recipe(options.recipe), options.images))
        for case, reason in case_names(len(gpus)).items():
            left = LIMIT_SECONDS - (time.monotonic() - started)
            cases[case] = {"skipped": reason} if reason else run_case(case, options, prepared, left)
    result["seconds"] = time.monotonic() - started
    if options.json:
        print(json.dumps(result))
        return
    print(f"{', '.join(result['gpus']) or 'no GPU'}; {result['seconds']:.0f} s")
    print("\n".join(rows_of(cases)))


if __name__ == "__main__":
    main()
