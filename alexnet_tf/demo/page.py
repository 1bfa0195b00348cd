"""The demo's page, made with Gradio. Images are sent to this machine only."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from html import escape
from typing import Any

import matplotlib
import numpy as np

from alexnet_tf.demo import load_gradio
from alexnet_tf.demo.predictor import MAX_UPLOAD_BYTES, ActiveKernel, ImageResult, Predictor
from alexnet_tf.errors import InputError
from alexnet_tf.evaluation.similarity import Neighbor
from alexnet_tf.figures.canvas import image_uri, is_small

_CENTER, _TEN = "center crop", "ten crops averaged"
# Gradio deletes uploaded images from its temporary folder after at most an hour.
_CLEANING_SECONDS = 60
_KEPT_SECONDS = 3600 - _CLEANING_SECONDS
_STYLE = """
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 0; padding: 0; list-style: none; }
.tiles li { margin: 0; width: 112px; font-size: 12px; line-height: 1.3; overflow-wrap: break-word; }
.tiles img { display: block; width: 112px; height: 112px; margin-bottom: 4px; }
.tiles img.sharp { image-rendering: pixelated; }
.note { margin: 4px 0 8px; font-size: 13px; }
.problem { margin: 0; padding: 10px 12px; border-left: 4px solid #c0392b; }
"""


def handle_upload(
    predictor: Predictor, path: str | None, crops: str
) -> tuple[str, dict[str, float] | None, str, str]:
    """Computes the outputs of the page.

    Args:
      predictor: The network.
      path: The uploaded file; None: the image was removed.
      crops: The selected option: "center crop" or "ten crops averaged".

    Returns:
      An error message as HTML or "", the most probable classes with their probabilities, and the
      HTML of the kernels and of the similar images.
    """
    if path is None:
        return "", None, "", ""
    try:
        result = predictor.predict(path, ten_crops=crops == _TEN)
    except InputError as error:
        return _problem_html(str(error)), None, "", ""
    index = predictor.index
    searched = (
        "" if index is None else " ".join(part for part in (index.dataset, index.split) if part)
    )
    # Class names need not be unique; the keys of a dict must be.
    names = [entry.name for entry in result.top]
    top = {
        entry.name if names.count(entry.name) == 1 else f"{entry.name} ({entry.number})": (
            entry.probability
        )
        for entry in result.top
    }
    return "", top, _kernels_html(result), similar_html(result, searched)


def build_page(predictor: Predictor) -> Any:
    """Returns the page as `gradio.Blocks`.

    Raises:
      InputError: Gradio is not installed.
    """
    gr = load_gradio()
    with gr.Blocks(
        title="AlexNet", analytics_enabled=False, delete_cache=(_CLEANING_SECONDS, _KEPT_SECONDS)
    ) as page:
        gr.Markdown("# AlexNet")
        with gr.Row():
            with gr.Column():
                image = gr.Image(
                    label="Image",
                    sources=["upload", "webcam", "clipboard"],
                    type="filepath",
                    format="png",
                    height=320,
                    buttons=[],
                    alt_text="the uploaded image",
                )
                # Gradio would open the file and fail; `handle_upload` reports why.
                image.preprocess = _uploaded
                problem = gr.HTML(elem_id="problem", padding=False)
                crops = gr.Radio([_CENTER, _TEN], value=_CENTER, label="Crops")
            with gr.Column():
                top = gr.Label(label="Most probable classes", num_top_classes=5)
        gr.Markdown("## Kernels with the largest activations")
        kernels = gr.HTML(elem_id="kernels", padding=False)
        gr.Markdown("## Similar images")
        similar = gr.HTML(elem_id="similar", padding=False)
        gr.on(
            [image.change, crops.change],
            lambda path, selected: handle_upload(predictor, path, selected),
            inputs=[image, crops],
            outputs=[problem, top, kernels, similar],
            show_progress="minimal",
            concurrency_limit=1,
            api_visibility="private",
        )
    return page


def _uploaded(payload: Any) -> str | None:
    """Returns the path of the uploaded file, an image or not."""
    return None if payload is None else payload.path


def launch(page: Any, host: str = "127.0.0.1", port: int | None = None) -> str:
    """Starts serving a page and returns its address.

    Args:
      page: From `build_page`.
      host: The address to listen on. Other machines can reach any but the loopback address.
      port: The port; None: 7860, or the next free port.

    Returns:
      The page's URL.

    Raises:
      InputError: The address or port cannot be used.
    """
    gr = load_gradio()
    try:
        _check_host(host)
        _, url, _ = page.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=port,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            max_file_size=MAX_UPLOAD_BYTES,
            # System fonts: Gradio's own theme loads fonts from the network.
            theme=gr.themes.Default(
                font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
            ),
            css=_STYLE,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
        )
    except (OSError, ValueError) as error:  # ValueError if a proxy is set for localhost
        raise InputError(f"cannot listen on {host}, port {port or 7860}: {error}") from None
    return str(url)


def _check_host(host: str) -> None:
    """Raises OSError if an address has no usable port: Gradio would try a hundred ports."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))


@contextlib.contextmanager
def served(page: Any, host: str, port: int | None) -> Iterator[str]:
    """Serves a page while the block runs; then closes it and deletes the uploaded images.

    SIGTERM interrupts the block as Ctrl-C does, instead of ending the process immediately. In a
    thread other than the main thread, its handler is not changed.

    Yields:
      The page's address.
    """
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if in_main else None
    try:
        yield launch(page, host, port)
    finally:
        page.close(verbose=False)
        if in_main:
            signal.signal(signal.SIGTERM, before)


def wait() -> None:
    """Waits for Ctrl-C, or for SIGTERM while a page is `served`."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return


def _kernels_html(result: ImageResult) -> str:
    """Returns the kernels with the largest activations, each above a heat map of them."""
    tiles = "".join(_kernel(kernel) for kernel in result.kernels)
    return (
        "<p class='note'>The kernels of conv1 with the largest activations, in descending order. "
        "Below each kernel, its activations over the image: brighter is larger.</p>"
        f"<ul class='tiles'>{tiles}</ul>"
    )


def similar_html(result: ImageResult, dataset: str) -> str:
    """Returns the nearest images.

    Args:
      result: The results for an image.
      dataset: The data set that was searched; "" if there is none.
    """
    if not dataset:
        return "<p class='note'>Start the demo with --in DATASET to see similar images here.</p>"
    tiles = "".join(_neighbor(pixels, neighbor) for pixels, neighbor in result.similar)
    return (
        f"<p class='note'>The nearest images of {escape(dataset)} by the last hidden layer, "
        "with their Euclidean distances.</p>"
        f"<ul class='tiles'>{tiles}</ul>"
    )


def _problem_html(message: str) -> str:
    """Returns an error message that screen readers announce immediately."""
    return f"<p class='problem' role='alert'>{escape(message)}</p>"


def _kernel(kernel: ActiveKernel) -> str:
    """Returns the tile of a kernel."""
    heat = matplotlib.colormaps["magma"](kernel.activations)[..., :3]
    height, width, _ = kernel.pixels.shape
    return (
        f"<li>{_image(kernel.pixels, f'kernel {kernel.number}, {width} by {height} pixels')}"
        f"{_image(np.round(255 * heat).astype(np.uint8), f'activations of kernel {kernel.number}')}"
        f"kernel {kernel.number}<br>{kernel.max_activation:.3g}</li>"
    )


def _neighbor(pixels: np.ndarray, neighbor: Neighbor) -> str:
    """Returns the tile of a similar image."""
    name, distance = neighbor.short_name, f"{neighbor.distance:.2f}"
    alt = f"{name}, at distance {distance}: {neighbor.name}"
    tile = f"<li>{_image(pixels, alt)}{escape(name)}<br>{distance}</li>"
    return tile.encode(errors="backslashreplace").decode()  # a file name need not be UTF-8


def _image(pixels: np.ndarray, alt: str) -> str:
    """Returns an image element."""
    sharp = " class='sharp'" if is_small(pixels) else ""
    return f"<img{sharp} src='{image_uri(pixels)}' alt='{escape(alt, quote=True)}'>"
