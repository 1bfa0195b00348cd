"""Dependencies that only some work needs."""

import importlib
from typing import Any

from alexnet_tf.errors import InputError


def needed(module: str, what_for: str, extra: str) -> Any:
    """Imports an optional dependency.

    Args:
      module: Its name.
      what_for: What it does, for the message.
      extra: The extra of this package that installs it.

    Raises:
      InputError: It is not installed; the message has the command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{what_for} needs {module.split('.')[0]}: pip install 'alexnet-tf[{extra}]', or from "
            f"a clone pip install -c constraints.txt -e '.[{extra}]'"
        ) from error
