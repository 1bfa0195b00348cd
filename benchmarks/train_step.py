"""A training step of the paper's network: ours, plain Keras, and PyTorch.

    python benchmarks/train_step.py                    (some minutes)
    python benchmarks/train_step.py --batch-size 64 --rounds 3 --json

Complete updates (forward, backward, momentum with weight decay) on images in memory. The contenders
take turns; the median of the rounds counts. Peers: pip install -e '.[benchmarks]'.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from contenders import Step, option_parser, print_ratios, run_rounds, serve


def ours(precision: str, batch_size: int) -> Step:
    """Builds this package's training step."""
    import tensorflow as tf

    import alexnet_tf as an
    from alexnet_tf.training.step import TrainingStep

    dtype = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    model = an.build_model("paper", dtype=dtype)
    optimizer = an.PaperMomentum()
    optimizer.build(model.trainable_variables)
    step = TrainingStep(model, optimizer, tf.distribute.get_strategy(), seed=0)
    images, labels = data(batch_size)
    batch = {
        "image": images,
        "label": labels,
        "weight": np.ones(batch_size, np.float32),
        "offset": np.zeros((batch_size, 3), np.float32),
    }
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    return lambda: step(batches, 1)


def keras_groups(batch_size: int) -> Step:
    """Builds a plain Keras model: Conv2D(groups=2), tf.nn's LRN, Keras' SGD, train_on_batch."""
    import keras
    import tensorflow as tf

    def norm(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.local_response_normalization(x, 2, 2.0, 1e-4, 0.75)

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((224, 224, 3)),
            layers.ZeroPadding2D(((0, 3), (0, 3))),
            layers.Conv2D(96, 11, 4, activation="relu"),
            layers.Lambda(norm),
            layers.MaxPooling2D(3, 2),
            layers.Conv2D(256, 5, padding="same", groups=2, activation="relu"),
            layers.Lambda(norm),
            layers.MaxPooling2D(3, 2),
            layers.Conv2D(384, 3, padding="same", activation="relu"),
            layers.Conv2D(384, 3, padding="same", groups=2, activation="relu"),
            layers.Conv2D(256, 3, padding="same", groups=2, activation="relu"),
            layers.MaxPooling2D(3, 2),
            layers.Flatten(),
            layers.Dense(4096, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(4096, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(1000),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, 0.9, weight_decay=5e-4), loss)
    images, labels = data(batch_size)
    images = images.astype(np.float32) - 127
    return lambda: model.train_on_batch(images, labels)


def pytorch(precision: str, compiled: bool, batch_size: int) -> Step:
    """Builds PyTorch's training step, eager or compiled, in channels_last."""
    import torch
    from torch_alexnet import alexnet, channels_last

    model = alexnet()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    images, labels = data(batch_size)
    x = channels_last(images.astype(np.float32) - 127)
    y = torch.from_numpy(labels)
    run = torch.compile(model) if compiled else model

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = run(x)
        torch.nn.functional.cross_entropy(logits.float(), y).backward()
        optimizer.step()

    return step


def data(batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8 images and int64 labels."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (batch_size, 224, 224, 3), np.uint8)
    return images, generator.integers(0, 1000, batch_size)


CONTENDERS: dict[str, Callable[[int], Step]] = {
    "ours bfloat16": lambda b: ours("bfloat16", b),
    "ours float32": lambda b: ours("float32", b),
    "Keras groups=2 float32": keras_groups,
    "PyTorch eager float32": lambda b: pytorch("float32", False, b),
    "PyTorch eager bfloat16": lambda b: pytorch("bfloat16", False, b),
    "PyTorch compiled float32": lambda b: pytorch("float32", True, b),
    "PyTorch compiled bfloat16": lambda b: pytorch("bfloat16", True, b),
}


def main() -> None:
    """Runs the benchmark, or serves one contender."""
    parser = option_parser(__doc__, CONTENDERS)
    parser.add_argument("--batch-size", type=int, default=128)
    options = parser.parse_args()
    if options.serve:
        serve(lambda: CONTENDERS[options.serve](options.batch_size))
        return
    arguments = ["--batch-size", str(options.batch_size)]
    runs = run_rounds(
        str(Path(__file__)), options.only, arguments, options.rounds, 1, options.huge_pages
    )
    speeds = {name: options.batch_size / run.median_seconds for name, run in runs.items()}
    memory = {name: run.memory for name, run in runs.items()}
    result = {
        "batch_size": options.batch_size,
        "images_per_second": speeds,
        "peak_memory_bytes": memory,
        "ratios": ratios(speeds, memory),
    }
    if options.json:
        print(json.dumps(result))
        return
    for name, speed in speeds.items():
        print(f"{name:28} {speed:8.1f} images/s {memory[name] / 2**20:8,.0f} MiB")
    print_ratios(result["ratios"])


def ratios(speeds: dict[str, float], memory: dict[str, int]) -> dict[str, float]:
    """Returns our best speed and its memory divided by the best of the peers that were measured."""
    best = max((n for n in speeds if n.startswith("ours")), key=speeds.__getitem__, default=None)
    torch = [name for name in speeds if name.startswith("PyTorch")]
    found = {}
    if best and "Keras groups=2 float32" in speeds:
        found["keras_groups"] = speeds[best] / speeds["Keras groups=2 float32"]
    if best and torch:
        found["best_pytorch"] = speeds[best] / max(speeds[name] for name in torch)
        found["memory_against_pytorch"] = memory[best] / min(memory[name] for name in torch)
    return found


if __name__ == "__main__":
    main()
