"""Estimates data-parallel training of AlexNet on 8, 64 and 512 GPUs, without measuring it.

    python benchmarks/scaling.py                            (the tables of docs/scaling.md)
    python benchmarks/scaling.py --images-per-second 2000   (another GPU)
    python benchmarks/scaling.py --json

A step is forward and backward on a GPU's own images, a sum of the gradients over all GPUs, and the
update. The sum is a ring all-reduce inside each machine, then one between machines; each link of a
ring of n carries 2 (n - 1) / n of the bytes.
"""

import argparse
import dataclasses
import json

PARAMETERS = 60_965_224  # of the paper's network
GRADIENT_BYTES = 4 * PARAMETERS  # float32: 244 MB
# Measured, in milliseconds of one core for an image (docs/performance.md).
INPUT_MILLISECONDS = {"raw photos": 1.9, "prepared JPEG": 0.5, "prepared raw": 0.06}
NETWORKS_GBIT = {"10 Gbit/s": 10, "25 Gbit/s": 25, "100 Gbit/s": 100, "400 Gbit/s": 400}
GPUS = (8, 64, 512)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """GPUs in machines. Every number is an assumption, to be replaced by measured ones.

    Attributes:
      images_per_second: Speed of one GPU, forward and backward.
      update_seconds: Time of the momentum update of all weights on one GPU.
      gpus_per_machine: Number of GPUs in a machine.
      inside_gigabytes: Bandwidth between two GPUs of a machine, per second.
      cores_per_gpu: CPU cores that prepare a GPU's input.
      efficiency: Fraction of a network's bandwidth that a ring reaches.
    """

    images_per_second: float = 5000.0
    update_seconds: float = 0.0006
    gpus_per_machine: int = 8
    inside_gigabytes: float = 200.0
    cores_per_gpu: int = 16
    efficiency: float = 0.8


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One step.

    Attributes:
      compute_seconds: Forward, backward and update.
      reduce_seconds: The sum of the gradients over all GPUs.
      speedup: Compared with one GPU with the same images per GPU, if the sum starts after the
        backward pass.
      overlapped: Likewise, if the sum overlaps the backward pass as far as possible.
      efficiency: `speedup` divided by the number of GPUs.
    """

    compute_seconds: float
    reduce_seconds: float
    speedup: float
    overlapped: float
    efficiency: float


def ring_seconds(members: int, size: float, bytes_per_second: float) -> float:
    """Returns the seconds of an all-reduce over a ring.

    Args:
      members: Number of members of the ring.
      size: Bytes of each member.
      bytes_per_second: Bandwidth of each link in each direction.
    """
    return 2 * (members - 1) / members * size / bytes_per_second


def reduce_seconds(cluster: Cluster, gpus: int, network_gbit: float, size: float) -> float:
    """Returns the seconds of the sum of gradients of `size` bytes over all GPUs."""
    inside = min(gpus, cluster.gpus_per_machine)
    machines = -(-gpus // cluster.gpus_per_machine)
    seconds = ring_seconds(inside, size, cluster.inside_gigabytes * 1e9)
    return seconds + ring_seconds(machines, size, network_gbit * 1e9 / 8 * cluster.efficiency)


def estimate(
    cluster: Cluster, gpus: int, network_gbit: float, images: int = 128, shrink: float = 1.0
) -> Estimate:
    """Returns the estimate of a step.

    Args:
      cluster: The machines.
      gpus: Number of GPUs that train together.
      network_gbit: Bandwidth of each machine's network, Gbit/s.
      images: Images per GPU in a step.
      shrink: Divisor of the gradients' bytes: 2 for bfloat16.
    """
    forward_backward = images / cluster.images_per_second
    compute = forward_backward + cluster.update_seconds
    reduce = reduce_seconds(cluster, gpus, network_gbit, GRADIENT_BYTES / shrink)
    # The fully connected layers, 96% of the gradient, are done first in the backward pass, two
    # thirds of the step; the rest of it can hide the sum.
    hidden = min(reduce, forward_backward * 2 / 3)
    speedup = gpus * compute / (compute + reduce)
    overlapped = gpus * compute / (compute + reduce - hidden)
    return Estimate(compute, reduce, speedup, overlapped, speedup / gpus)


def two_processes_seconds(one: float, reduce: float, update: float) -> float:
    """Returns the seconds of a step of two processes that share one machine's cores.

    The same cores process the same images; a sum and a second update are added.

    Args:
      one: Seconds of the step in one process.
      reduce: Seconds of the sum of the gradients.
      update: Seconds of one update.
    """
    return one + reduce + update


def input_limit(cluster: Cluster, milliseconds: float) -> float:
    """Returns the images per second that the cores of one GPU prepare."""
    return 1000 / milliseconds * cluster.cores_per_gpu


def tables(cluster: Cluster) -> str:
    """Returns the tables of docs/scaling.md, as Markdown."""
    lines = [
        "| network between machines | GPUs | sum of the gradient | step | speed-up | efficiency"
    ]
    lines[0] += " | speed-up if the sum overlaps | limit |"
    lines.append("|---|---|---|---|---|---|---|---|")
    for name, gbit in NETWORKS_GBIT.items():
        for gpus in GPUS:
            if gpus <= cluster.gpus_per_machine and gbit != next(iter(NETWORKS_GBIT.values())):
                continue  # one machine needs no network
            found = estimate(cluster, gpus, gbit)
            step = found.compute_seconds + found.reduce_seconds
            limit = "sum" if found.reduce_seconds > found.compute_seconds else "GPU"
            where = "none: one machine" if gpus <= cluster.gpus_per_machine else name
            lines.append(
                f"| {where} | {gpus} | {_ms(found.reduce_seconds)} | {_ms(step)} | "
                f"{found.speedup:.1f} | {found.efficiency:.0%} | {found.overlapped:.1f} | {limit} |"
            )
    lines += ["", "| 64 GPUs, what is changed | 10 Gbit/s | 25 Gbit/s | 100 Gbit/s | 400 Gbit/s |"]
    lines.append("|---|---|---|---|---|")
    changes = {
        "nothing (128 images a GPU, float32)": {},
        "gradient in bfloat16": {"shrink": 2.0},
        "gradient compressed 30 times": {"shrink": 30.0},
        "512 images a GPU": {"images": 512},
        "512 images a GPU and bfloat16": {"images": 512, "shrink": 2.0},
    }
    for name, change in changes.items():
        efficiencies = [
            estimate(cluster, 64, gbit, **change).efficiency for gbit in NETWORKS_GBIT.values()
        ]
        lines.append(f"| {name} | {' | '.join(f'{value:.0%}' for value in efficiencies)} |")
    cores = cluster.cores_per_gpu
    lines += ["", f"| input, {cores} cores a GPU | images/s for a GPU | of what it takes |"]
    lines.append("|---|---|---|")
    for name, milliseconds in INPUT_MILLISECONDS.items():
        rate = input_limit(cluster, milliseconds)
        lines.append(f"| {name} | {rate:,.0f} | {rate / cluster.images_per_second:.1f} |")
    return "\n".join(lines)


def _ms(seconds: float) -> str:
    """Returns 0.0123 as "12.3 ms"."""
    return f"{1000 * seconds:.1f} ms"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for field in dataclasses.fields(Cluster):
        name = "--" + field.name.replace("_", "-")
        parser.add_argument(name, type=type(field.default), default=field.default)
    parser.add_argument("--json", action="store_true")
    options = vars(parser.parse_args())
    as_json = options.pop("json")
    cluster = Cluster(**options)
    if not as_json:
        print(tables(cluster))
        return
    steps = {
        name: {gpus: dataclasses.asdict(estimate(cluster, gpus, gbit)) for gpus in GPUS}
        for name, gbit in NETWORKS_GBIT.items()
    }
    print(json.dumps({"cluster": dataclasses.asdict(cluster), "steps": steps}))


if __name__ == "__main__":
    main()
