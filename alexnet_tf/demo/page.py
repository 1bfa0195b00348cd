"""The page, by Gradio: an image in, what the network makes of it out. Nothing goes elsewhere."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from alexnet_tf.demo.asking import MAX_UPLOAD_BYTES, Asker
from alexnet_tf.demo.fragments import STYLE, kernels_html, problem_html, similar_html
from alexnet_tf.demo.library import gradio
from alexnet_tf.errors import InputError

_CENTER, _TEN = "center crop", "ten crops averaged"
# Of uploaded images, in Gradio's folder for temporary files: none is kept longer than an hour.
_CLEANING_SECONDS = 60
_KEPT_SECONDS = 3600 - _CLEANING_SECONDS


def answer(
    asker: Asker, path: str | None, crops: str
) -> tuple[str, dict[str, float] | None, str, str]:
    """Answers the page.

    Args:
      asker: The network.
      path: The uploaded file, or None: it was taken away.
      crops: What is switched on: "center crop" or "ten crops averaged".

    Returns:
      A message or "", the most probable classes with their probabilities, and the HTML of the
      kernels and of the similar images.
    """
    if path is None:
        return "", None, "", ""
    try:
        reply = asker.ask(path, ten_crops=crops == _TEN)
    except InputError as error:
        return problem_html(str(error)), None, "", ""
    index = asker.index
    where = "" if index is None else " ".join(part for part in (index.dataset, index.split) if part)
    # Names need not be unique in a data set; as keys they must be.
    names = [guess.name for guess in reply.top]
    top = {
        guess.name if names.count(guess.name) == 1 else f"{guess.name} ({guess.number})": (
            guess.probability
        )
        for guess in reply.top
    }
    return "", top, kernels_html(reply), similar_html(reply, where)


def build_page(asker: Asker) -> Any:
    """Returns the page as `gradio.Blocks`.

    Raises:
      InputError: Gradio is not installed.
    """
    gr = gradio()
    with gr.Blocks(
        title="AlexNet", analytics_enabled=False, delete_cache=(_CLEANING_SECONDS, _KEPT_SECONDS)
    ) as page:
        gr.Markdown("# What does the network see?")
        with gr.Row():
            with gr.Column():
                image = gr.Image(
                    label="Image",
                    sources=["upload", "webcam", "clipboard"],
                    type="filepath",
                    format="png",
                    height=320,
                    buttons=[],
                    alt_text="the image asked about",
                )
                # Gradio would open the file and fail; `answer` tells what is wrong with it.
                image.preprocess = _uploaded
                problem = gr.HTML(elem_id="problem", padding=False)
                crops = gr.Radio([_CENTER, _TEN], value=_CENTER, label="Crops")
            with gr.Column():
                top = gr.Label(label="Most probable classes", num_top_classes=5)
        gr.Markdown("## Kernels that fired")
        kernels = gr.HTML(elem_id="kernels", padding=False)
        gr.Markdown("## Similar images")
        similar = gr.HTML(elem_id="similar", padding=False)
        gr.on(
            [image.change, crops.change],
            lambda path, which: answer(asker, path, which),
            inputs=[image, crops],
            outputs=[problem, top, kernels, similar],
            show_progress="minimal",
            concurrency_limit=1,
            api_visibility="private",
        )
    return page


def _uploaded(payload: Any) -> str | None:
    """Returns the path of what was uploaded, an image or not."""
    return None if payload is None else payload.path


def launch(page: Any, host: str = "127.0.0.1", port: int | None = None) -> str:
    """Starts serving a page, and returns its address.

    Args:
      page: From `build_page`.
      host: The address to listen on. Any other than the loopback one lets others in.
      port: None: 7860, or the next that is free.

    Raises:
      InputError: The address cannot be listened on.
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
            # Fonts of the system's: Gradio's own theme fetches some from the network.
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
    except (OSError, ValueError) as error:  # the latter where a proxy stands before localhost
        raise InputError(f"cannot listen on {host}, port {port or 7860}: {error}") from None
    return str(url)


def _check_host(host: str) -> None:
    """Raises OSError if no port of an address can be had: Gradio would try a hundred of them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))


@contextlib.contextmanager
def served(page: Any, host: str, port: int | None) -> Iterator[str]:
    """Serves a page while the block runs, as `launch`; then closes it, and uploads are removed.

    SIGTERM interrupts the block as Ctrl-C does: by itself it would end the process at once. In a
    thread other than the main one it stays as it is.

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
    """Waits until Ctrl-C is pressed, or SIGTERM comes while a page is `served`."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
