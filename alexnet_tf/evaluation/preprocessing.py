"""What an image must go through before a network, as exported files carry it along. No TensorFlow.

A `.keras` file has this in its layers. A SavedModel, a `.tflite` and an `.onnx` file carry it in a
small JSON beside the class names, so that each can be used alone.
"""

import dataclasses
import json
from typing import Any

# What the two are called among a SavedModel's assets, in a .tflite's archive, and in an .onnx.
CLASS_NAMES = "class_names.txt"
PREPROCESSING = "preprocessing.json"


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How pixels get to a network, which normalizes them itself.

    Attributes:
      resize_pixels: Side of the square that a photo is resized and cut to.
      input_pixels: Side of the crop of it that the network takes.
      channels: 3 (RGB) or 1 (gray), 0..255.
    """

    resize_pixels: int
    input_pixels: int
    channels: int

    def to_text(self) -> str:
        """Returns the JSON that exported files carry."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_text(cls, text: str | bytes) -> "Preprocessing":
        """Returns what `to_text` gave.

        Raises:
          ValueError: It is something else.
        """
        values: Any = json.loads(text)
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or values.keys() != names:
            raise ValueError(f"no preprocessing: {values!r}")
        if not all(isinstance(value, int) and value > 0 for value in values.values()):
            raise ValueError(f"no preprocessing: {values!r}")
        return cls(**values)


def names_to_text(names: tuple[str, ...]) -> str:
    """Returns class names as a file, one a line."""
    return "".join(" ".join(name.split()) + "\n" for name in names)


def names_from_text(text: str | bytes) -> tuple[str, ...]:
    """Returns the class names of such a file."""
    return tuple((text.decode("utf-8") if isinstance(text, bytes) else text).splitlines())
