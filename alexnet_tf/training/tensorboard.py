"""`train --tensorboard`: curves, kernels, histograms, inputs, graph and profile of a run."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.figures.canvas import png_bytes
from alexnet_tf.figures.kernels import draw_kernels
from alexnet_tf.model.inspection import first_kernels
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.system import import_optional

FOLDER = "tensorboard"
_PROFILED_CALL = 2  # the first call into the graph compiles it
_BUCKETS = 30
_DOTS_PER_INCH = 80


def check_tensorboard() -> None:
    """Raises InputError, with the command that installs it, if TensorBoard is missing."""
    import_optional("tensorboard", "--tensorboard", "tensorboard")


class TensorBoardWriter:
    """Writes TensorBoard's files into the run folder.

    The first `epochs_done` epochs are written already; TensorBoard hides later ones.
    """

    def __init__(self, run_dir: Path, epochs_done: int) -> None:
        self._folder = run_dir / FOLDER
        self._writer = tf.summary.create_file_writer(str(self._folder))
        self._epochs_done = epochs_done
        self._calls = 0

    def begin(self, model: keras.Model, inputs: np.ndarray) -> None:
        """Writes the graph, the augmented images `inputs`, uint8 [n, p, p, c], and the weights."""

        @tf.function
        def forward(images: tf.Tensor) -> tf.Tensor:
            return model(images, training=False)

        shape = (None, *model.input_shape[1:])
        graph = forward.get_concrete_function(tf.TensorSpec(shape, tf.float32)).graph
        with self._writer.as_default():
            tf.summary.graph(graph)
            tf.summary.image("inputs, augmented", inputs, step=0, max_outputs=len(inputs))
            self._weights(model, 0)
        self._writer.flush()

    def write(self, history: list[EpochRecord], model: keras.Model) -> None:
        """Writes the records that are not written yet, and the weights; a step is an epoch."""
        with self._writer.as_default():
            for record in history[self._epochs_done :]:
                for name, value in record.to_json().items():
                    if name != "epoch" and value is not None:
                        tag = re.sub("^(training|validation)_", r"\1/", name)
                        tf.summary.scalar(tag, value, step=record.epoch)
            self._weights(model, len(history))
        self._writer.flush()
        self._epochs_done = len(history)

    @contextlib.contextmanager
    def profiling(self) -> Iterator[None]:
        """Profiles the updates made inside the block, in the second call of a run only."""
        self._calls += 1
        if self._calls != _PROFILED_CALL or (self._folder / "plugins" / "profile").exists():
            yield
            return
        # Python's work is not part of the updates, and would fill the profile.
        options = tf.profiler.experimental.ProfilerOptions(python_tracer_level=0)
        with tf.profiler.experimental.Profile(str(self._folder), options):
            yield

    def _weights(self, model: keras.Model, step: int) -> None:
        """Writes an image of conv1's kernels and a histogram of each variable."""
        kernels, groups = first_kernels(model)
        png = png_bytes(draw_kernels(kernels, groups), _DOTS_PER_INCH)
        image = tf.io.decode_png(png, channels=3)[tf.newaxis]
        tf.summary.image("conv1's kernels", image, step=step)
        for variable in model.trainable_variables:
            _histogram(f"weights/{variable.path}", variable.numpy(), step)


def _histogram(tag: str, values: np.ndarray, step: int) -> None:
    """Writes a histogram; TensorBoard's own functions need 9 GB of memory for fc6."""
    from tensorboard.plugins.histogram import metadata

    finite = values[np.isfinite(values)]
    counts, edges = np.histogram(finite, _BUCKETS)
    buckets = np.stack([edges[:-1], edges[1:], counts], axis=1)
    description = metadata.create_summary_metadata(display_name=None, description=None)
    tf.summary.write(tag, tf.constant(buckets, tf.float64), step=step, metadata=description)
