"""`export`: from a run or a model to the files that ship, each checked before it is there."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alexnet_tf.errors import InputError, choose
from alexnet_tf.evaluation.classifiers import from_model, open_classifier
from alexnet_tf.export.check import Check, Checker
from alexnet_tf.export.images import CheckImages, ImageSource
from alexnet_tf.export.onnx_file import to_onnx
from alexnet_tf.export.saved_model import check_version, write_saved_model
from alexnet_tf.export.tflite import QUANTIZATIONS, to_tflite
from alexnet_tf.export.warmup import write_warmup
from alexnet_tf.files import atomic_path, check_local_path, check_utf8_path
from alexnet_tf.model.persistence import load_model
from alexnet_tf.runs import open_model
from alexnet_tf.system import import_optional

FORMATS = ("saved_model", "tflite", "onnx")
DEFAULT_NAME = "alexnet"
DEFAULT_OUT = Path("saved_models", "serving")
CHECK_IMAGES = 100
_CALIBRATION_IMAGES = 200
_WARMUP_IMAGES = 1
# In float32 another order of additions is all that may differ. More is a fault of the conversion.
_LARGEST_DIFFERENCE = 1e-4

PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
      model: The file it was made from.
      images: What the files were checked on.
      checks: The Keras model first, then one per file.
    """

    model: str
    images: str
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
        checks = [check.to_json() for check in self.checks]
        return {"model": self.model, "images": self.images, "checks": checks}


def export(
    run: PathLike | None = None,
    *,
    model: PathLike | None = None,
    formats: Sequence[str] = ("saved_model", "tflite"),
    quantize: str = "none",
    out: PathLike = DEFAULT_OUT,
    name: str = DEFAULT_NAME,
    version: int | None = None,
    dataset: PathLike | None = None,
    data_dir: PathLike | None = None,
    check_images: int = CHECK_IMAGES,
    on_stage: Callable[[str], None] | None = None,
) -> Export:
    """Writes a network in the formats that ship, and checks each against the Keras model.

    Args:
      run: The run's folder; None, and no model given: the newest under saved_models/.
      model: A `.keras` file in place of a run's.
      formats: Some of `FORMATS`.
      quantize: Of the TFLite file, one of `tflite.QUANTIZATIONS`; it is then called
        `<name>-<quantize>.tflite`.
      out: Folder to write to: `<name>/<version>/`, `<name>.tflite`, `<name>.onnx`.
      name: What the model is served as.
      version: Of the SavedModel; None: one more than the highest there.
      dataset: Images to check on (and to calibrate int8 with): a name or folder as `train` takes
        them; None: the run's own, or drawn pictures for a model without a run.
      data_dir: Folder of prepared TFDS data sets, or None: the run's, or TFDS's own.
      check_images: How many images to check on.
      on_stage: Called with what is being done.

    Returns:
      What was written, and how it compares.

    Raises:
      InputError: Something cannot be used, or an optional dependency is missing; nothing has been
        written.
      RuntimeError: A float32 file's answers differ from the Keras model's; the file is not there.
    """
    stage = on_stage or (lambda _: None)
    for given in formats:
        choose(given, FORMATS, "--format")
    choose(quantize, QUANTIZATIONS, "--quantize")
    if quantize != "none" and "tflite" not in formats:
        raise InputError(f"--quantize {quantize} is for the .tflite file: add --format tflite")
    _check_name(name)
    check_local_path(out, "--out")
    check_utf8_path(out, "--out")
    base = Path(out) / name
    opened = open_model(run, model)
    model = opened.path
    _check_dependencies(formats)
    if "saved_model" in formats:
        check_version(base, version)
    network = load_model(model)
    reference = from_model(network, os.fspath(model))
    source = ImageSource(opened, dataset, data_dir, reference.preprocessing)
    calibration = source.training_crops(_CALIBRATION_IMAGES) if quantize == "int8" else None
    stage("asking the Keras model")
    images = source.validation(check_images, reference.class_names)
    checker = Checker(reference, images)
    checks = [checker.check("Keras", reference, Path(model))]
    base.parent.mkdir(parents=True, exist_ok=True)
    if "saved_model" in formats:
        stage("writing the SavedModel")
        checks.append(_export_saved_model(network, base, version, images, checker))
    if "tflite" in formats:
        stage(f"converting to TFLite, {_precision(quantize)}")
        content = to_tflite(network, quantize, calibration)
        suffix = "" if quantize == "none" else f"-{quantize}"
        path = base.with_name(f"{name}{suffix}.tflite")
        exact = quantize == "none"
        checks.append(_export_file(f"TFLite {_precision(quantize)}", content, path, checker, exact))
    if "onnx" in formats:
        stage("converting to ONNX")
        path = base.with_name(f"{name}.onnx")
        checks.append(_export_file("ONNX", to_onnx(network), path, checker, exact=True))
    return Export(os.fspath(model), images.origin, tuple(checks))


def _export_saved_model(
    network: Any, base: Path, version: int | None, images: CheckImages, checker: Checker
) -> Check:
    """Writes the SavedModel with warm-up requests, checked before it gets its name."""
    found: list[Check] = []
    pixels = int(network.input_shape[1])

    def finish(folder: Path) -> None:
        write_warmup(folder, base.name, images.squares[:_WARMUP_IMAGES], pixels)
        found.append(_checked("SavedModel", folder, checker, exact=True))

    path = write_saved_model(network, base, version, finish)
    return dataclasses.replace(found[0], path=os.fspath(path))


def _export_file(form: str, content: bytes, path: Path, checker: Checker, exact: bool) -> Check:
    """Writes a file, checked before it gets its name."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
        check = _checked(form, temporary, checker, exact)
    return dataclasses.replace(check, path=os.fspath(path))


def _checked(form: str, path: Path, checker: Checker, exact: bool) -> Check:
    """Returns how a file compares.

    Raises:
      RuntimeError: It should be exact, and is not.
    """
    check = checker.check(form, open_classifier(path), path)
    if exact and not check.largest_difference <= _LARGEST_DIFFERENCE:
        raise RuntimeError(
            f"{form} differs from the Keras model by {check.largest_difference:.2g} in probability"
        )
    return check


def _precision(quantize: str) -> str:
    return "float32" if quantize == "none" else quantize


def _check_dependencies(formats: Sequence[str]) -> None:
    """Imports what the formats need before anything is written.

    Raises:
      InputError: Something is not installed.
    """
    if "saved_model" in formats:
        import_optional("tensorflow_serving.apis", "writing warm-up requests", "export")
    if "tflite" in formats:
        import_optional("ai_edge_litert", "checking .tflite files", "export")
    if "onnx" in formats:
        import_optional("tf2onnx", "writing .onnx files", "onnx")
        import_optional("onnxruntime", "checking .onnx files", "onnx")


def _check_name(name: str) -> None:
    """Checks what becomes a folder's name and a part of the server's address.

    Raises:
      InputError: It is empty, hidden, or has other characters than letters, digits, `.`, `_`, `-`.
    """
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not (plain.isascii() and plain.isalnum()) or name.startswith("."):
        raise InputError(
            f"--name {name!r}: a served model's name has letters, digits, '-', '_' and '.' only"
        )
