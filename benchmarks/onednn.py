"""What oneDNN computes in one call on the CPU: what is fused, what is reordered, and the time.

    python benchmarks/onednn.py                          (an update of training, half a minute)
    python benchmarks/onednn.py --work inference --batch-size 64 --precision float32

The call runs in a process of its own, whose oneDNN logs each primitive (ONEDNN_VERBOSE). Primitives
run at the same time, so that the sum of their times is more than the time of the call. Operations
that oneDNN does not compute, such as functions compiled by XLA, are not listed.
"""

import argparse
import collections
import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from alexnet_tf.system import huge_page_environment

_MARK = "the call begins"


@dataclasses.dataclass(frozen=True)
class Primitive:
    """An operation of oneDNN.

    Attributes:
      kind: As oneDNN calls it, with the direction where it has one: "convolution backward_data".
      problem: Its sizes, as oneDNN writes them: mb128_ic48oc96_...; g2 is two groups.
      fused: What it computes besides: "bias", "relu".
      layouts: The layouts of its arrays: "acdb" is batch, height, width, channels.
    """

    kind: str
    problem: str
    fused: str
    layouts: str


def parse(line: str) -> tuple[Primitive, float] | None:
    """Returns the primitive of a line of the log, and its milliseconds; None for other lines."""
    fields = line.strip().split(",")
    if "exec" not in fields or not fields[0].startswith("onednn_verbose"):
        return None
    kind, _, direction, arrays, attributes = fields[fields.index("exec") + 2 :][:5]
    problem, milliseconds = fields[-2:]
    fused = ["bias"] if "bia:" in arrays and "backward" not in direction else []
    fused += [part for part in ("relu", "sum") if f"post-ops:eltwise_{part}" in attributes]
    layouts = sorted({array.split(":")[-3 if "::f" in array else -1] for array in arrays.split()})
    name = kind if direction == "undef" else f"{kind} {direction}"
    return Primitive(name, problem, " ".join(fused), " ".join(layouts)), float(milliseconds)


def summarize(lines: Iterable[str]) -> list[tuple[Primitive, int, float]]:
    """Returns each primitive, how often it ran and its milliseconds in all, longest first."""
    count: collections.Counter[Primitive] = collections.Counter()
    total: collections.defaultdict[Primitive, float] = collections.defaultdict(float)
    for found in filter(None, map(parse, lines)):
        primitive, milliseconds = found
        count[primitive] += 1
        total[primitive] += milliseconds
    return sorted(((p, count[p], total[p]) for p in count), key=lambda row: -row[2])


def inference(precision: str, batch_size: int) -> Callable[[], object]:
    """Builds the compiled forward pass."""
    import tensorflow as tf

    import alexnet_tf as an

    infer = an.inference_function(an.build_model("paper"), precision)
    images = tf.zeros((batch_size, 224, 224, 3), tf.uint8)
    return lambda: np.asarray(infer(images))


def main() -> None:
    """Runs the call in a process of its own and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", choices=("training", "inference"), default="training")
    parser.add_argument("--precision", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        from train_step import ours

        build = ours if options.work == "training" else inference
        step = build(options.precision, options.batch_size)
        step()
        step()
        print(_MARK, flush=True)
        step()
        return
    environment = {**huge_page_environment(), "ONEDNN_VERBOSE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(Path(__file__)), *sys.argv[1:], "--serve"]
    log = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    rows = summarize(log.stdout.partition(_MARK)[2].split("\n"))
    if not rows:
        sys.exit("oneDNN computed nothing: is TF_ENABLE_ONEDNN_OPTS=0 set?")
    print(f"{'ms':>7}  {'times':>5}  primitive, sizes, fused, layouts ({os.cpu_count()} cores)")
    for primitive, times, milliseconds in rows:
        print(f"{milliseconds:7.1f}  {times:5}  {'  '.join(dataclasses.astuple(primitive))}")


if __name__ == "__main__":
    main()
