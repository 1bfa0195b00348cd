"""TensorFlow without the lines that it prints whatever its log level is."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Holds back what is written to file descriptor 2 inside the block, by C++ code too.

    For TensorFlow's import, for the first operation, which starts the devices, and for converters
    and interpreters that talk: nothing else belongs inside. If the block fails, what was held back
    is written after all.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held, contextlib.ExitStack() as stack:
        saved = os.dup(2)
        stack.callback(os.close, saved)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(saved, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)


def import_tensorflow(*, start_devices: bool = True) -> None:
    """Imports TensorFlow and Keras, and runs the first operation, in silence.

    Errors of TensorFlow come as exceptions all the same; its C++ log stays off unless the user has
    set TF_CPP_MIN_LOG_LEVEL. Its libraries' warnings to each other (deprecations) are not shown.

    Args:
      start_devices: Whether to run the first operation. Not before `tf.distribute` strategies over
        several workers or logical devices are set up: that must come first. Whoever does so puts
        `quiet_stderr` around it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with quiet_stderr():
        import keras  # noqa: F401
        import tensorflow as tf

        if start_devices:
            tf.zeros(()).numpy()
    logging.getLogger("absl").setLevel(logging.ERROR)
