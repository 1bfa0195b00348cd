"""A local web page that shows predictions for images. Needs Gradio, an optional dependency."""

import os
from typing import Any

from alexnet_tf.system import import_optional


def load_gradio() -> Any:
    """Imports Gradio with its telemetry disabled.

    Raises:
      InputError: Gradio is not installed; the message names the command that installs it.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    return import_optional("gradio", "the demo", "demo")
