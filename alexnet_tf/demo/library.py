"""Gradio, where it is installed. No TensorFlow."""

import os
from typing import Any

from alexnet_tf.system import import_optional


def gradio() -> Any:
    """Imports Gradio, with its reports to its makers switched off.

    Raises:
      InputError: It is not installed; the message has the command.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    return import_optional("gradio", "the demo", "demo")
