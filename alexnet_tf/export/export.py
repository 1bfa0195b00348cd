"""Exports a run or a model to files, each verified before it gets its final name."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alexnet_tf.errors import InputError, choose
from alexnet_tf.evaluation.classifiers import from_model, open_classifier
from alexnet_tf.export.onnx import to_onnx
from alexnet_tf.export.saved_model import (
    check_version,
    make_readable,
    make_readable_folders,
    write_saved_model,
    write_warm_up,
)
from alexnet_tf.export.tflite import QUANTIZATIONS, to_tflite
from alexnet_tf.export.verify import (
    Verification,
    VerificationData,
    VerificationImages,
    Verifier,
)
from alexnet_tf.files import atomic_path, check_local_path, check_utf8_path
from alexnet_tf.model.persistence import load_model
from alexnet_tf.runs import open_model
from alexnet_tf.system import import_optional

FORMATS = ("saved_model", "tflite", "onnx")
DEFAULT_NAME = "alexnet"
DEFAULT_OUT = Path("saved_models", "serving")
CHECK_IMAGES = 100
_CALIBRATION_IMAGES = 200
_WARM_UP_IMAGES = 1
# In float32 only the order of additions may differ. A larger difference is a bug in the conversion.
_MAX_DIFFERENCE = 1e-4

PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """The exported files and how they compare with the Keras model.

    Attributes:
      model: The exported `.keras` file.
      images: The data set that the files were verified on.
      checks: The Keras model first, then one entry per file.
    """

    model: str
    images: str
    checks: tuple[Verification, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values."""
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
) -> ExportResult:
    """Exports a network in several formats and verifies each against the Keras model.

    Args:
      run: The run's folder; None without `model`: the newest run under saved_models/.
      model: A `.keras` file in place of a run.
      formats: Any of `FORMATS`.
      quantize: Precision of the TFLite file, one of `tflite.QUANTIZATIONS`. The file name of a
        quantized model is `<name>-<quantize>.tflite`.
      out: Folder to write to: `<name>/<version>/`, `<name>.tflite`, `<name>.onnx`.
      name: Name of the served model.
      version: Version of the SavedModel; None: one more than the highest existing version.
      dataset: Images to verify on and to calibrate int8 with, a name or folder as for `train`;
        None: the run's own data set, or synthetic images for a model without a run.
      data_dir: Folder of prepared TFDS data sets, or None: that of the run, or the default of TFDS.
      check_images: Number of images to verify on.
      on_stage: Called with a description of each stage.

    Returns:
      The exported files and how they compare with the Keras model.

    Raises:
      InputError: An argument is not valid, or an optional dependency is not installed; no file has
        been written.
      RuntimeError: The predictions of a float32 file differ from those of the Keras model; the file
        has been removed.
    """
    stage = on_stage or (lambda _: None)
    for each in formats:
        choose(each, FORMATS, "--format")
    choose(quantize, QUANTIZATIONS, "--quantize")
    if quantize != "none" and "tflite" not in formats:
        raise InputError(f"--quantize {quantize} applies to the .tflite file: add --format tflite")
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
    data = VerificationData(opened, dataset, data_dir, reference.preprocessing)
    calibration = data.training_crops(_CALIBRATION_IMAGES) if quantize == "int8" else None
    stage("running the Keras model")
    images = data.validation_images(check_images, reference.class_names)
    verifier = Verifier(reference, images)
    checks = [verifier.compare("Keras", reference, Path(model))]
    make_readable_folders(base.parent)
    if "saved_model" in formats:
        stage("writing the SavedModel")
        checks.append(_export_saved_model(network, base, version, images, verifier))
    if "tflite" in formats:
        precision = "float32" if quantize == "none" else quantize
        stage(f"converting to TFLite, {precision}")
        content = to_tflite(network, quantize, calibration)
        suffix = "" if quantize == "none" else f"-{quantize}"
        path = base.with_name(f"{name}{suffix}.tflite")
        is_exact = quantize == "none"
        checks.append(_export_file(f"TFLite {precision}", content, path, verifier, is_exact))
    if "onnx" in formats:
        stage("converting to ONNX")
        path = base.with_name(f"{name}.onnx")
        checks.append(_export_file("ONNX", to_onnx(network), path, verifier, is_exact=True))
    return ExportResult(os.fspath(model), images.origin, tuple(checks))


def _export_saved_model(
    network: Any, base: Path, version: int | None, images: VerificationImages, verifier: Verifier
) -> Verification:
    """Writes the SavedModel with warm-up requests; verifies it before it gets its final name."""
    verified: list[Verification] = []
    pixels = int(network.input_shape[1])

    def finish(folder: Path) -> None:
        write_warm_up(folder, base.name, images.squares[:_WARM_UP_IMAGES], pixels)
        verified.append(_verify("SavedModel", folder, verifier, is_exact=True))

    path = write_saved_model(network, base, version, finish)
    return dataclasses.replace(verified[0], path=os.fspath(path))


def _export_file(
    form: str, content: bytes, path: Path, verifier: Verifier, is_exact: bool
) -> Verification:
    """Writes a file that all users may read; verifies it before it gets its final name."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
        make_readable(temporary)
        verification = _verify(form, temporary, verifier, is_exact)
    return dataclasses.replace(verification, path=os.fspath(path))


def _verify(form: str, path: Path, verifier: Verifier, is_exact: bool) -> Verification:
    """Returns how a file compares with the Keras model.

    Raises:
      RuntimeError: `is_exact`, and the probabilities differ by more than rounding.
    """
    verification = verifier.compare(form, open_classifier(path), path)
    difference = verification.largest_difference
    if is_exact and not difference <= _MAX_DIFFERENCE:  # NaN is refused, too
        raise RuntimeError(
            f"{form}: probabilities differ from the Keras model's by {difference:.2g}"
        )
    return verification


def _check_dependencies(formats: Sequence[str]) -> None:
    """Imports the optional dependencies of the formats before any file is written.

    Raises:
      InputError: One is not installed.
    """
    if "saved_model" in formats:
        import_optional("tensorflow_serving.apis", "writing warm-up requests", "export")
    if "tflite" in formats:
        import_optional("ai_edge_litert", "verifying .tflite files", "export")
    if "onnx" in formats:
        import_optional("tf2onnx", "writing .onnx files", "onnx")
        import_optional("onnxruntime", "verifying .onnx files", "onnx")


def _check_name(name: str) -> None:
    """Checks a name that becomes a folder and a part of the server's URL.

    Raises:
      InputError: It is empty, starts with `.`, or has characters other than letters, digits, `.`,
        `_` and `-`.
    """
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not (plain.isascii() and plain.isalnum()) or name.startswith("."):
        raise InputError(
            f"--name {name!r} is not a valid model name: use letters, digits, '-', '_' and '.' only"
        )
