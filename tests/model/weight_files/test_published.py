"""Downloads of published weights, from a server on the loopback interface."""

import dataclasses
import hashlib
import http.server
import threading

import numpy as np
import pytest
from command_line import run_command

from alexnet_tf.errors import InputError
from alexnet_tf.model.persistence import load_model
from alexnet_tf.model.weight_files import published
from alexnet_tf.model.weight_files.published import PUBLISHED, download, identify
from alexnet_tf.recipes import get_recipe
from tests.model.weight_files.weight_files import weights_of, write_pth

CONTENT = bytes(range(256)) * 5000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves files with byte ranges; `server.break_after` ends a response early."""

    def do_GET(self):
        content = self.server.files.get(self.path)
        self.server.requests.append((self.path, self.headers.get("Range")))
        if content is None:
            self.send_error(404, "Not Found")
            return
        start = 0
        if self.server.has_ranges and "Range" in self.headers:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416, "Range Not Satisfiable")
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : self.server.break_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A running server with `files`, `requests`, `has_ranges` and `break_after`."""
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.files, served.requests, served.has_ranges, served.break_after = {}, [], True, None
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALEXNET_TF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(server):
    """Published weights with the checksum of CONTENT, on the server."""
    server.files["/made-up.pth"] = CONTENT
    return published.PublishedWeights(
        name="made-up",
        url=f"http://127.0.0.1:{server.server_port}/made-up.pth",
        algorithm="sha256",
        checksum=hashlib.sha256(CONTENT).hexdigest()[:8],
        top1=50.0,
        top5=75.0,
    )


def files_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_download_stores_the_file_once_and_reports_progress(weights, server, cache):
    progress = []
    path = download(weights, on_progress=lambda *numbers: progress.append(numbers))
    assert path.read_bytes() == CONTENT and files_in(cache) == ["made-up.pth"]
    assert progress[-1] == (len(CONTENT), len(CONTENT))
    assert download(weights) == path and len(server.requests) == 1


def test_interrupted_download_is_resumed_from_the_last_byte(weights, server, cache):
    server.break_after = 700_000
    with pytest.raises(InputError, match=r"ended after 700,000 of 1,280,000 bytes.*to resume"):
        download(weights)
    assert files_in(cache) == ["made-up.pth.part"]
    server.break_after = None
    assert download(weights).read_bytes() == CONTENT
    assert server.requests[-1] == ("/made-up.pth", "bytes=700000-")
    assert files_in(cache) == ["made-up.pth"]


def test_download_restarts_if_the_server_sends_the_whole_file(weights, server, cache):
    cache.mkdir()
    (cache / "made-up.pth.part").write_bytes(b"x" * 1000)
    server.has_ranges = False
    assert download(weights).read_bytes() == CONTENT


def test_complete_part_of_a_killed_download_is_used(weights, server, cache):
    cache.mkdir()
    (cache / "made-up.pth.part").write_bytes(CONTENT)
    assert download(weights).read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"", b"y" * 1000])
def test_wrong_checksum_is_one_line_and_nothing_is_kept(left, weights, server, cache):
    cache.mkdir()
    (cache / "made-up.pth.part").write_bytes(left)
    server.files["/made-up.pth"] = b"x" * len(CONTENT)
    with pytest.raises(InputError, match=r"checksum mismatch: expected sha256 .*--url URL$"):
        download(weights)
    assert files_in(cache) == []


def test_damaged_file_in_the_cache_is_downloaded_again(weights, cache):
    download(weights).write_bytes(b"damaged")
    assert download(weights).read_bytes() == CONTENT


def test_mirror_replaces_the_published_address(weights, server):
    server.files["/mirror/other-name"] = CONTENT
    url = f"http://127.0.0.1:{server.server_port}/mirror/other-name"
    assert download(weights, url=url).name == "made-up.pth"
    assert [path for path, _ in server.requests] == ["/mirror/other-name"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:9/x", "Connection refused"),
        ("http://nowhere.invalid/x", "offline"),
        ("127.0.0.1/x", "unknown url type"),
        ("/no/such/scheme", "unknown url type"),
    ],
)
def test_unreachable_server_is_one_line_and_nothing_is_kept(url, message, weights, cache):
    with pytest.raises(InputError, match=message) as caught:
        download(weights, url=url)
    assert "\n" not in str(caught.value) and files_in(cache) == []


def test_missing_file_on_the_server_is_reported(weights, server):
    server.files.clear()
    with pytest.raises(InputError, match="the server reports 404 Not Found"):
        download(weights)


def test_two_downloads_of_one_file_share_it(weights, server):
    threads = [threading.Thread(target=download, args=(weights,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1


def test_identify_finds_published_files_by_their_content(weights, tmp_path, monkeypatch):
    monkeypatch.setitem(PUBLISHED, "made-up", weights)
    (tmp_path / "renamed").write_bytes(CONTENT)
    (tmp_path / "other").write_bytes(CONTENT[1:])
    assert identify(tmp_path / "renamed") is weights
    assert identify(tmp_path / "other") is None


def torchvision_name(layer, number):
    """Torchvision's names, from the printed model."""
    features = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
    name = f"features.{features[layer]}" if layer in features else None
    name = name or f"classifier.{ {'fc6': 1, 'fc7': 4, 'fc8': 6}[layer] }"
    return f"{name}.{('weight', 'bias')[number]}"


@pytest.mark.slow
def test_import_weights_torchvision_downloads_and_names_the_accuracy(
    server, tmp_path, monkeypatch, capsys
):
    shapes = get_recipe("torchvision")
    arrays = weights_of(shapes, torchvision_name, classes=1000)
    assert sum(array.size for array in arrays.values()) == 61_100_840
    content = write_pth(tmp_path / "made.pth", arrays).read_bytes()
    made_up = dataclasses.replace(
        PUBLISHED["torchvision"],
        url=f"http://127.0.0.1:{server.server_port}/alexnet-owt-7be5be79.pth",
        checksum=hashlib.sha256(content).hexdigest()[:8],
    )
    server.files["/alexnet-owt-7be5be79.pth"] = content
    monkeypatch.setitem(PUBLISHED, "torchvision", made_up)
    monkeypatch.chdir(tmp_path)
    code, out, _ = run_command(["import-weights", "torchvision"], capsys)
    assert code == 0
    assert "torchvision.keras: 61,100,840 parameters, 1000 classes" in out
    assert "top-1 56.5%, top-5 79.1%" in out
    assert "evaluate --model torchvision.keras --dataset IMAGENET" in out
    kernel = load_model(tmp_path / "torchvision.keras").get_layer("conv1").kernel.numpy()
    expected = arrays["features.0.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel, expected)


def test_import_weights_checks_the_address_before_it_downloads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bvlc").write_bytes(b"x")
    for arguments, words in (
        (["torchvisoin"], "file not found; to download weights, give torchvision or bvlc"),
        (["bvlc", "--url", "http://127.0.0.1:9/x"], "--url: only for torchvision or bvlc"),
        (["torchvision", "--out", "x.h5"], "must end in .keras"),
    ):
        code, _, err = run_command(["import-weights", *arguments], capsys)
        assert code == 2
        assert words in err
