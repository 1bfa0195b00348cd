"""The preprocessing of a network, as exported files store it. No TensorFlow.

A `.keras` file stores it in its layers. A SavedModel, a `.tflite` and an `.onnx` file store it as
JSON beside the class names, so that each file can be used alone.
"""

import dataclasses
import json
from typing import Any

# Names in a SavedModel's assets, in a .tflite file's archive and in an .onnx file's metadata.
CLASS_NAMES = "class_names.txt"
PREPROCESSING = "preprocessing.json"


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Steps from an image to the network's input. The network subtracts the mean itself.

    Attributes:
      resize_pixels: Side of the square that an image is resized and cropped to.
      input_pixels: Side of the network's input, a crop of that square.
      channels: 3 (RGB) or 1 (gray), 0..255.
    """

    resize_pixels: int
    input_pixels: int
    channels: int

    def to_text(self) -> str:
        """Return the JSON that exported files store."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_text(cls, text: str | bytes) -> "Preprocessing":
        """Parse the JSON that `to_text` wrote.

        Raises:
          ValueError: The text is not such JSON.
        """
        values: Any = json.loads(text)
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or values.keys() != names:
            raise ValueError(f"not a preprocessing: {values!r}")
        if not all(isinstance(value, int) and value > 0 for value in values.values()):
            raise ValueError(f"not a preprocessing: {values!r}")
        return cls(**values)


def names_to_text(names: tuple[str, ...]) -> str:
    """Return class names as the text of a file, one per line."""
    return "".join(" ".join(name.split()) + "\n" for name in names)


def names_from_text(text: str | bytes) -> tuple[str, ...]:
    """Return the class names in the text of such a file."""
    return tuple((text.decode("utf-8") if isinstance(text, bytes) else text).splitlines())
