"""Inference of the paper's network: ours, PyTorch, OpenVINO, ONNX Runtime and our TFLite file.

    python benchmarks/inference.py                     (throughput at batch 64 and latency at 1)
    python benchmarks/inference.py --batch-sizes 1 --rounds 9 --json

Images are float32 in memory; the contenders take turns; the median of the rounds counts. Peers:
pip install -e '.[benchmarks]'.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from contenders import Step, option_parser, print_ratios, run_rounds, serve


def images(batch_size: int) -> np.ndarray:
    """Returns float32 images, 0..255."""
    shape = (batch_size, 224, 224, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


def ours(precision: str, batch_size: int) -> Step:
    """Builds this package's model as a compiled function."""
    import tensorflow as tf

    import alexnet_tf as an

    infer = an.inference_function(an.build_model("paper"), precision)
    x = tf.constant(images(batch_size))
    return lambda: infer(x).numpy()


_WRITE_TFLITE = """
import sys
from pathlib import Path
import numpy as np
import alexnet_tf as an
from alexnet_tf.export.tflite import to_tflite
noise = np.random.default_rng(1).uniform(0, 255, (8, 224, 224, 3)).astype("float32")
calibration = noise if sys.argv[1] == "int8" else None
Path(sys.argv[2]).write_bytes(to_tflite(an.build_model("paper"), sys.argv[1], calibration))
"""


def tflite(quantize: str, batch_size: int) -> Step:
    """Loads our TFLite file with ai-edge-litert and two threads, without TensorFlow."""
    from ai_edge_litert.interpreter import Interpreter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "alexnet.tflite"
        write = [sys.executable, "-c", _WRITE_TFLITE, quantize, str(path)]
        subprocess.run(write, check=True)
        interpreter = Interpreter(model_content=path.read_bytes(), num_threads=2)
    details = interpreter.get_input_details()[0]
    x = images(batch_size)
    interpreter.resize_tensor_input(details["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(details["index"], x)
    return interpreter.invoke


def pytorch(precision: str, compiled: bool, batch_size: int) -> Step:
    """Builds PyTorch's model, eager or compiled, in channels_last."""
    import torch
    from torch_alexnet import alexnet, channels_last

    model = alexnet().eval()
    run = torch.compile(model) if compiled else model
    x = channels_last(images(batch_size))

    def step() -> None:
        enabled = precision == "bfloat16"
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            run(x)

    return step


@contextlib.contextmanager
def onnx_file(batch_size: int) -> Iterator[str]:
    """Yields an ONNX file of PyTorch's model, which is removed after the block."""
    import torch
    from torch_alexnet import alexnet

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "alexnet.onnx"
        x = torch.zeros(batch_size, 3, 224, 224)
        torch.onnx.export(alexnet().eval(), (x,), path, dynamo=False)
        yield str(path)


def onnx_runtime(quantize: bool, batch_size: int) -> Step:
    """Loads the ONNX file with ONNX Runtime, in float32 or quantized dynamically to int8."""
    import onnxruntime

    with onnx_file(batch_size) as path:
        if quantize:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            # Only the fully connected layers: its dynamic convolutions are many times slower.
            quantized = str(Path(path).with_name("int8.onnx"))
            quantize_dynamic(
                path,
                quantized,
                op_types_to_quantize=["Gemm", "MatMul"],
                weight_type=QuantType.QInt8,
            )
            path = quantized
        session = onnxruntime.InferenceSession(path)
    feed = {session.get_inputs()[0].name: images(batch_size).transpose(0, 3, 1, 2).copy()}
    return lambda: session.run(None, feed)


def quantized_by_nncf(network: object, batch_size: int) -> object:
    """Returns an OpenVINO model with weights and activations in int8, calibrated on noise."""
    import nncf

    noise = [images(batch_size).transpose(0, 3, 1, 2).copy()] * 4
    return nncf.quantize(network, nncf.Dataset(noise), subset_size=len(noise))


def openvino(precision: str, batch_size: int) -> Step:
    """Loads the ONNX file with OpenVINO."""
    import openvino

    core = openvino.Core()
    hints = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32"}
    hints["PERFORMANCE_HINT"] = "LATENCY"
    with onnx_file(batch_size) as path:
        network = core.read_model(path)
        if precision == "int8":
            network = quantized_by_nncf(network, batch_size)
        model = core.compile_model(network, "CPU", hints)
    x = images(batch_size).transpose(0, 3, 1, 2).copy()
    request = model.create_infer_request()
    return lambda: request.infer([x])


CONTENDERS: dict[str, Callable[[int], Step]] = {
    "ours bfloat16": lambda b: ours("bfloat16", b),
    "ours float32": lambda b: ours("float32", b),
    "our TFLite float32": lambda b: tflite("none", b),
    "our TFLite dynamic int8": lambda b: tflite("dynamic", b),
    "our TFLite int8": lambda b: tflite("int8", b),
    "PyTorch eager float32": lambda b: pytorch("float32", False, b),
    "PyTorch eager bfloat16": lambda b: pytorch("bfloat16", False, b),
    "PyTorch compiled float32": lambda b: pytorch("float32", True, b),
    "PyTorch compiled bfloat16": lambda b: pytorch("bfloat16", True, b),
    "OpenVINO float32": lambda b: openvino("float32", b),
    "OpenVINO bfloat16": lambda b: openvino("bfloat16", b),
    "OpenVINO int8": lambda b: openvino("int8", b),
    "ONNX Runtime float32": lambda b: onnx_runtime(False, b),
    "ONNX Runtime dynamic int8": lambda b: onnx_runtime(True, b),
}


def main() -> None:
    """Runs the benchmark, or serves one contender."""
    parser = option_parser(__doc__, CONTENDERS)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 1])
    options = parser.parse_args()
    if options.serve:
        serve(lambda: CONTENDERS[options.serve](options.batch_sizes[0]))
        return
    result: dict = {"images_per_second": {}, "ratios": {}}
    for batch_size in options.batch_sizes:
        steps = max(1, 64 // batch_size)
        arguments = ["--batch-sizes", str(batch_size)]
        runs = run_rounds(
            str(Path(__file__)), options.only, arguments, options.rounds, steps, options.huge_pages
        )
        speeds = {name: batch_size / run.median_seconds for name, run in runs.items()}
        result["images_per_second"][batch_size] = speeds
        result["ratios"].update(ratios(speeds, batch_size))
        if not options.json:
            for name, speed in speeds.items():
                print(f"batch {batch_size:3} {name:28} {speed:8.1f} images/s")
    if options.json:
        print(json.dumps(result))
        return
    print_ratios(result["ratios"])


def ratios(speeds: dict[str, float], batch_size: int) -> dict[str, float]:
    """Returns the speed of our best contender divided by that of the best of each kind of peer."""
    ours = [speed for name, speed in speeds.items() if name.startswith("our")]
    kinds = {
        "best_pytorch": "PyTorch",
        "best_openvino": "OpenVINO",
        "best_onnx_runtime": "ONNX",
        "best_of_all": ("PyTorch", "OpenVINO", "ONNX"),
    }
    found = {}
    for key, start in kinds.items():
        theirs = [speed for name, speed in speeds.items() if name.startswith(start)]
        if ours and theirs:
            found[f"batch_{batch_size}_{key}"] = max(ours) / max(theirs)
    return found


if __name__ == "__main__":
    main()
