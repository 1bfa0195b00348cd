"""The demo's page, made with Gradio. Images are sent to this machine only."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from alexnet_tf.demo.fragments import STYLE, kernels_html, problem_html, similar_html
from alexnet_tf.demo.library import gradio
from alexnet_tf.demo.predictor import MAX_UPLOAD_BYTES, Predictor
from alexnet_tf.errors import InputError

_CENTER, _TEN = "center crop", "ten crops averaged"
# Gradio deletes uploaded images from its temporary folder after at most an hour.
_CLEANING_SECONDS = 60
_KEPT_SECONDS = 3600 - _CLEANING_SECONDS


def handle_upload(
    predictor: Predictor, path: str | None, crops: str
) -> tuple[str, dict[str, float] | None, str, str]:
    """Compute the outputs of the page.

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
        return problem_html(str(error)), None, "", ""
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
    return "", top, kernels_html(result), similar_html(result, searched)


def build_page(predictor: Predictor) -> Any:
    """Return the page as `gradio.Blocks`.

    Raises:
      InputError: Gradio is not installed.
    """
    gr = gradio()
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
    """Return the path of the uploaded file, an image or not."""
    return None if payload is None else payload.path


def launch(page: Any, host: str = "127.0.0.1", port: int | None = None) -> str:
    """Start serving a page and return its address.

    Args:
      page: From `build_page`.
      host: The address to listen on. Other machines can reach any but the loopback address.
      port: The port; None: 7860, or the next free port.

    Returns:
      The page's URL.

    Raises:
      InputError: The address or port cannot be used.
    """
    gr = gradio()
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
            css=STYLE,
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
    """Raise OSError if an address has no usable port: Gradio would try a hundred ports."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))


@contextlib.contextmanager
def served(page: Any, host: str, port: int | None) -> Iterator[str]:
    """Serve a page while the block runs; then close it and delete the uploaded images.

    SIGTERM interrupts the block as Ctrl-C does, instead of ending the process at once. In a thread
    other than the main thread, its handler is not changed.

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
    """Wait for Ctrl-C, or for SIGTERM while a page is `served`."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
