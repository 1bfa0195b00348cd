"""Measure the peak memory of a process that runs a SavedModel. Needs TensorFlow and Linux.

python measure_memory.py ../saved_models/serving/alexnet/1
python measure_memory.py ../saved_models/serving/alexnet/1 large.jpg
"""

import argparse
import concurrent.futures
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import tensorflow as tf

IMAGES = 32  # max_batch_size in batching.config
PHOTO_SHAPE = (480, 640, 3)


def print_peak(stage: str) -> None:
    """Prints the peak resident memory of this process since its start."""
    # Not ru_maxrss, which starts at the peak of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    print(f"{stage:40} {kibibytes / 2**20:5.2f} GiB", flush=True)


def main() -> None:
    """Loads the model, runs requests of increasing size, and prints the peak after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="folder of a version, which contains saved_model.pb")
    parser.add_argument(
        "images", nargs="*", help="image files, each sent in two simultaneous requests"
    )
    options = parser.parse_args()
    signatures = tf.saved_model.load(options.folder).signatures
    print_peak("loaded")
    new_version = tf.saved_model.load(options.folder)
    print_peak("loaded with a second version")
    del new_version
    noise = tf.random.stateless_uniform(PHOTO_SHAPE, (0, 0), 0, 256, tf.int32)
    photos = tf.repeat(tf.io.encode_jpeg(tf.cast(noise, tf.uint8))[tf.newaxis], IMAGES)
    signatures["serving_default"](image_bytes=photos)
    print_peak(f"serving_default, {IMAGES} images")
    signatures["ten_crop"](image_bytes=photos)
    print_peak(f"ten_crop, {IMAGES} images")
    with concurrent.futures.ThreadPoolExecutor(2) as executor:  # num_batch_threads

        def run_twice(signature: str, contents: tf.Tensor) -> None:
            list(executor.map(lambda x: signatures[signature](image_bytes=x), [contents] * 2))

        for _ in range(3):
            run_twice("ten_crop", photos)
        print_peak(f"two simultaneous: ten_crop, {IMAGES} images")
        for name in options.images:
            run_twice("serving_default", tf.constant([Path(name).read_bytes()]))
            print_peak(f"two simultaneous: {Path(name).name}")


if __name__ == "__main__":
    main()
