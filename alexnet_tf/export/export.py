"""Export a run or a model to files, each verified before it gets its final name."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

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
from alexnet_tf.export.verify import Verification, VerificationImages, Verifier, load_images
from alexnet_tf.files import atomic_path, check_local_path, check_utf8_path
from alexnet_tf.model.persistence import load_model
from alexnet_tf.runs import open_model
from alexnet_tf.system import import_optional

# The optional packages of each format, as arguments of `import_optional`.
_PACKAGES = {
    "saved_model": [("tensorflow_serving.apis", "writing warm-up requests", "export")],
    "tflite": [("ai_edge_litert", "verifying .tflite files", "export")],
    "onnx": [
        ("tf2onnx", "writing .onnx files", "onnx"),
        ("onnxruntime", "verifying .onnx files", "onnx"),
    ],
}
FORMATS = tuple(_PACKAGES)
_CALIBRATION_IMAGES = 200
_WARM_UP_IMAGES = 1
# In float32 only the order of additions may differ. A larger difference is a bug in the conversion.
_MAX_DIFFERENCE = 1e-4

PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What to export, and how.

    Attributes:
      run: The run folder; None without `model`: the newest run under saved_models/.
      model: A `.keras` file instead of a run.
      formats: Any of `FORMATS`.
      quantize: Precisions of the TFLite files, any of `tflite.QUANTIZATIONS`. The file name of a
        quantized model is `<name>-<quantize>.tflite`.
      out: Folder to write to: `<name>/<version>/`, `<name>.tflite`, `<name>.onnx`.
      name: Name of the served model.
      version: Version of the SavedModel; None: one more than the highest existing version.
      dataset: Images to verify on and to calibrate int8 with, a name or folder as for `train`;
        None: the run's own data set, or synthetic images for a model without a run.
      data_dir: Folder of prepared TFDS data sets; None: the run's, or TFDS's default.
      check_images: Number of images to verify on.
    """

    run: PathLike | None = None
    model: PathLike | None = None
    formats: Sequence[str] = ("saved_model", "tflite")
    quantize: Sequence[str] = ("none",)
    out: PathLike = Path("saved_models", "serving")
    name: str = "alexnet"
    version: int | None = None
    dataset: PathLike | None = None
    data_dir: PathLike | None = None
    check_images: int = 100

    def check(self) -> None:
        """Checks what needs neither the model nor a file system.

        Raises:
          InputError: A value is not valid.
        """
        for each in self.formats:
            choose(each, FORMATS, "--format")
        for each in self.quantize:
            choose(each, QUANTIZATIONS, "--quantize")
        if set(self.quantize) - {"none"} and "tflite" not in self.formats:
            given = ", ".join(self.quantize)
            raise InputError(f"--quantize {given} applies to .tflite files: add --format tflite")
        # The name becomes a folder and a part of the server's URL.
        letters = self.name.replace("-", "").replace("_", "").replace(".", "")
        if not (letters.isascii() and letters.isalnum()) or self.name.startswith("."):
            raise InputError(
                f"--name {self.name!r} is not a valid model name: use letters, digits, '-', '_' "
                "and '.' only"
            )
        check_local_path(self.out, "--out")
        check_utf8_path(self.out, "--out")


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
        return dataclasses.asdict(self)


def export(
    options: ExportOptions, on_stage: Callable[[str], None] = lambda _: None
) -> ExportResult:
    """Exports a network in several formats and verifies each against the Keras model.

    Args:
      options: What to export, and how.
      on_stage: Called with a description of each stage.

    Raises:
      InputError: An option is not valid, or an optional dependency is not installed; no file has
        been written.
      RuntimeError: The predictions of a float32 file differ from those of the Keras model; the file
        has been removed.
    """
    options.check()
    source = open_model(options.run, options.model)
    for form in options.formats:
        for package in _PACKAGES[form]:
            import_optional(*package)
    base = Path(options.out, options.name)
    if "saved_model" in options.formats:
        check_version(base, options.version)
    network = load_model(source.path)
    reference = from_model(network, os.fspath(source.path))
    images = load_images(
        source,
        reference,
        options.dataset,
        options.data_dir,
        options.check_images,
        _CALIBRATION_IMAGES if "int8" in options.quantize else 0,
    )
    on_stage("running the Keras model")
    verifier = Verifier(reference, images)
    checks = [verifier.compare("Keras", reference, source.path)]
    make_readable_folders(base.parent)
    if "saved_model" in options.formats:
        on_stage("writing the SavedModel")
        checks.append(_export_saved_model(network, base, options.version, images, verifier))
    for quantize in options.quantize if "tflite" in options.formats else ():
        is_exact = quantize == "none"
        precision = "float32" if is_exact else quantize
        on_stage(f"converting to TFLite, {precision}")
        content = to_tflite(network, quantize, images.training_crops)
        path = base.with_name(options.name + ("" if is_exact else f"-{precision}") + ".tflite")
        checks.append(_export_file(f"TFLite {precision}", content, path, verifier, is_exact))
    if "onnx" in options.formats:
        on_stage("converting to ONNX")
        path = base.with_name(f"{options.name}.onnx")
        checks.append(_export_file("ONNX", to_onnx(network), path, verifier, is_exact=True))
    return ExportResult(os.fspath(source.path), images.origin, tuple(checks))


def _export_saved_model(
    network: keras.Model,
    base: Path,
    version: int | None,
    images: VerificationImages,
    verifier: Verifier,
) -> Verification:
    """Writes the SavedModel with warm-up requests; verifies it before it gets its final name."""
    verified: list[Verification] = []
    pixels = int(network.input_shape[1])

    def finish(folder: Path) -> None:
        write_warm_up(folder, base.name, images.resized[:_WARM_UP_IMAGES], pixels)
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
    """Compares a file with the Keras model, from which an exact one differs by rounding only."""
    verification = verifier.compare(form, open_classifier(path), path)
    difference = verification.largest_difference
    if is_exact and not difference <= _MAX_DIFFERENCE:  # also rejects NaN
        raise RuntimeError(
            f"{form}: probabilities differ from the Keras model's by {difference:.2g}"
        )
    return verification
