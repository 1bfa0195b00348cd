"""The page's upload handler, and the page in a real browser."""

import dataclasses
import os
import re
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from alexnet_tf.cli import main
from alexnet_tf.demo import page as page_module
from alexnet_tf.demo.page import build_page, handle_upload, launch, similar_html
from alexnet_tf.errors import InputError

pytest.importorskip("gradio", reason="no demo: gradio is missing (extra `demo`)")
httpx = pytest.importorskip("httpx", reason="comes with gradio")


def test_image_gives_classes_kernels_and_similar_images_with_alternative_texts(predictor, photos):
    problem, top, kernels, similar = handle_upload(
        predictor, str(photos / "red" / "0.png"), "center crop"
    )
    assert problem == ""
    assert set(top) == {"blue", "green <b>", "red"}
    assert sum(top.values()) == pytest.approx(1, abs=1e-5)
    assert len(re.findall(r"<img[^>]+alt='kernel \d+, 5 by 5 pixels'", kernels)) == 8
    assert similar.count("<img") == len(re.findall(r"alt='[^']+, at distance [\d.e-]+: ", similar))
    assert "green &lt;b&gt;" in similar and "<b>" not in similar


def test_ten_crops_change_the_prediction_and_no_image_gives_none(predictor, photos):
    path = str(photos / "red" / "0.png")
    assert (
        handle_upload(predictor, path, "center crop")[1]
        != handle_upload(predictor, path, "ten crops averaged")[1]
    )
    assert handle_upload(predictor, None, "center crop") == ("", None, "", "")


def test_damaged_upload_gives_a_message(predictor, tmp_path):
    (tmp_path / "a.png").write_bytes(b"<script>")
    problem, top, kernels, similar = handle_upload(
        predictor, str(tmp_path / "a.png"), "center crop"
    )
    assert "role='alert'" in problem and "cannot be read" in problem
    assert (top, kernels, similar) == (None, "", "")


def test_similar_image_with_a_name_that_is_not_utf_8_is_shown(predictor, photos):
    result = predictor.predict(photos / "red" / "1.png")
    pixels, neighbor = result.similar[0]
    odd = neighbor._replace(name="caf\udce9.png", class_name=None)
    shown = similar_html(dataclasses.replace(result, similar=((pixels, odd),)), "loose")
    assert r"caf\udce9.png" in shown
    shown.encode()


def test_command_without_gradio_names_the_package_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    (tmp_path / "m.keras").touch()
    with pytest.raises(SystemExit) as left:
        main(["demo", "--model", str(tmp_path / "m.keras")])
    assert left.value.code == 2
    assert "alexnet-tf[demo]" in capsys.readouterr().err


@pytest.fixture(scope="module")
def url(predictor):
    page = build_page(predictor)
    yield launch(page)
    page.close(verbose=False)


def test_page_listens_on_the_loopback_address_only(url):
    assert url.startswith("http://127.0.0.1:")
    port = int(url.rstrip("/").rsplit(":", 1)[1])
    # All of 127.0.0.0/8 is this machine: another address of its than the one listened on.
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", port), timeout=2):
        pass


def test_port_in_use_is_named(predictor):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=str(port)):
            launch(build_page(predictor), port=port)


@pytest.mark.parametrize("host", ["203.0.113.1", "no such name", "2001:db8::1"])
def test_address_of_another_machine_is_rejected_at_once(host, predictor, monkeypatch):
    page = build_page(predictor)
    monkeypatch.setattr(page, "launch", None)  # calling it would raise TypeError
    with pytest.raises(InputError, match=f"cannot listen on {host}"):
        launch(page, host)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_uploads_are_deleted_when_the_command_stops(
    number, predictor, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    uploaded, wait_really = [], page_module.wait

    def wait():
        url = capsys.readouterr().out.strip()
        sent = httpx.post(f"{url}gradio_api/upload", files={"files": ("a.png", b"x")})
        uploaded.extend(Path(path) for path in sent.json())
        assert uploaded[0].is_relative_to(tmp_path) and uploaded[0].is_file()
        threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
        wait_really()

    monkeypatch.setattr(page_module, "wait", wait)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left:
        main(["demo", "--model", predictor.name])
    assert (left.value.code, len(uploaded)) == (0, 1)
    assert not uploaded[0].exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_uploads_are_deleted_within_an_hour(predictor):
    frequency, age = build_page(predictor).delete_cache
    assert frequency + age <= 3600


UPLOAD = "input[type=file]"


@pytest.fixture
def hosts():
    return set()


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desktop", "phone"])
def page(request, browser, url, hosts):
    width, scheme = request.param
    opened = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    opened.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    opened.goto(url)
    opened.wait_for_selector(UPLOAD, state="attached")
    yield opened
    opened.close()


@pytest.mark.slow
def test_page_in_a_browser(page, photos, hosts, url, tmp_path):
    page.set_input_files(UPLOAD, photos / "red" / "1.png")
    page.wait_for_selector("#similar img")
    images = page.evaluate("[...document.images].map(i => [i.alt, i.complete && i.naturalWidth])")
    assert len(images) == 1 + 2 * 8 + 8
    assert all(alt and width for alt, width in images)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(n) for n in re.findall(r"\d+", background)[:3]) < 200) == dark
    # Select ten crops with the keyboard alone.
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value") == "ten crops averaged":
            break
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelectorAll('input[type=radio]')[1].checked")
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    page.get_by_label("Remove Image").click()
    page.wait_for_selector("#similar img", state="detached")
    page.set_input_files(UPLOAD, tmp_path / "damaged.png")
    page.wait_for_selector("[role=alert]")
    assert "cannot be read" in page.locator("#problem").inner_text()
    assert page.locator("#kernels img").count() == 0
    page.get_by_label("Remove Image").click()
    page.set_input_files(UPLOAD, photos / "blue" / "1.png")  # a valid image still works
    page.wait_for_selector("#kernels img")
    assert hosts <= {url.split("/")[2], ""}
