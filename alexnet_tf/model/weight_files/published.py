"""Published AlexNet weights: addresses, checksums, accuracy, and download."""

import dataclasses
import hashlib
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

import filelock
import platformdirs

from alexnet_tf.errors import InputError

_CHUNK_BYTES = 2**20
_TIMEOUT_SECONDS = 30  # without a byte
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416


@dataclasses.dataclass(frozen=True)
class PublishedWeights:
    """A published file of weights.

    Attributes:
      name: The name on the command line.
      url: Where it is published.
      algorithm: The checksum's algorithm, from `hashlib`.
      checksum: The first hexadecimal digits of the checksum, or all of them.
      top1: Published top-1 accuracy on ImageNet's validation images, center crop, in percent.
      top5: Published top-5 accuracy, likewise.
    """

    name: str
    url: str
    algorithm: str
    checksum: str
    top1: float
    top5: float

    @property
    def file_name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]

    def matches(self, path: Path) -> bool:
        """Returns whether a file has the published checksum."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, self.algorithm).hexdigest()
        return digest.startswith(self.checksum)

    @property
    def accuracy(self) -> str:
        """The published accuracy, in a sentence."""
        return (
            f"published accuracy on ImageNet, center crop: top-1 {self.top1}%, top-5 {self.top5}%"
        )


# torchvision's file name contains the first eight digits of its SHA-256. BVLC's model zoo gives the
# SHA-1 of its file.
PUBLISHED = {
    weights.name: weights
    for weights in (
        PublishedWeights(
            name="torchvision",
            url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            algorithm="sha256",
            checksum="7be5be79",
            top1=56.5,
            top5=79.1,
        ),
        PublishedWeights(
            name="bvlc",
            url="http://dl.caffe.berkeleyvision.org/bvlc_alexnet.caffemodel",
            algorithm="sha1",
            checksum="9116a64c0fbe4459d18f4bb6b56d647b63920377",
            top1=57.1,
            top5=80.2,
        ),
    )
}


def identify(path: Path) -> PublishedWeights | None:
    """Returns the published weights with the checksum of a file, or None."""
    return next((weights for weights in PUBLISHED.values() if weights.matches(path)), None)


def cache_folder() -> Path:
    """Returns the folder of downloaded weights: ALEXNET_TF_CACHE, or in the user's cache folder."""
    folder = os.environ.get("ALEXNET_TF_CACHE")
    return Path(folder) if folder else platformdirs.user_cache_path("alexnet-tf")


def download(
    weights: PublishedWeights,
    *,
    url: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Returns the path of a published file in the cache; downloads the file if needed.

    An interrupted download is resumed by the next call. Two processes do not download the same
    file: the second one waits.

    Args:
      weights: What to download.
      url: Address to download from; None: where the file was published.
      on_progress: Called with the number of downloaded bytes and of all bytes.

    Raises:
      InputError: The server cannot be reached, does not have the file, or its content does not have
        the published checksum. A file with a wrong checksum is deleted.
    """
    source = url or weights.url
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / weights.file_name
    partial = path.with_name(f"{path.name}.part")
    with filelock.FileLock(path.with_name(f".{path.name}.lock")):
        if path.is_file() and weights.matches(path):
            return path
        try:
            _fetch(source, partial, on_progress)
        except (OSError, HTTPException, ValueError) as error:
            kept = partial.is_file() and partial.stat().st_size > 0
            then = "run the same command again to resume" if kept else "check the connection"
            raise InputError(
                f"{source}: download failed: {_reason(error)}; {then}, or give a mirror: --url URL"
            ) from error
        if not weights.matches(partial):
            partial.unlink()
            raise InputError(
                f"{source}: checksum mismatch: expected {weights.algorithm} {weights.checksum}; "
                "the download was deleted: try again, or give a mirror: --url URL"
            )
        partial.replace(path)
    return path


def _fetch(url: str, partial: Path, on_progress: Callable[[int, int], None] | None) -> None:
    """Downloads a file, from where an earlier download stopped if the server supports it."""
    done = partial.stat().st_size if partial.is_file() else 0
    headers = {"User-Agent": "alexnet-tf"} | ({"Range": f"bytes={done}-"} if done else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != _RANGE_NOT_SATISFIABLE or not done:
            raise
        return  # already complete, unless the checksum differs
    with response:
        if response.status != _PARTIAL_CONTENT:
            done = 0  # the server sends the whole file
        total = done + int(response.headers.get("Content-Length") or 0)
        with partial.open("ab" if done else "wb") as file:
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                if on_progress is not None:
                    on_progress(done, max(total, done))
    if done < total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _reason(error: Exception) -> str:
    """Returns why a download failed, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server reports {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        cause = error.reason
        if isinstance(cause, socket.gaierror):
            return "the server's name cannot be resolved (is this machine offline?)"
        return str(getattr(cause, "strerror", None) or cause)
    return str(error) or type(error).__name__
