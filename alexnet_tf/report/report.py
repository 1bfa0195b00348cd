"""Make the report of a run: its figures as files, and the HTML page."""

import dataclasses
import struct
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from alexnet_tf.errors import InputError, choose
from alexnet_tf.evaluation.metrics import Evaluation
from alexnet_tf.figures.canvas import DARK, LIGHT, data_uri, png_bytes, save_figure
from alexnet_tf.files import (
    PICTURE_ENDINGS,
    check_local_path,
    is_writable,
    printable,
    write_text,
)
from alexnet_tf.report.data import ProgressFactory, ReportData
from alexnet_tf.report.figures import FIGURES
from alexnet_tf.report.page import Chart, render_page
from alexnet_tf.runs import newest_run

REPORT = "report.html"
FOLDER = "pictures"
# The page shows these as HTML instead.
_HTML_FIGURES = ("mistakes", "unsure", "similar")


@dataclasses.dataclass(frozen=True)
class Report:
    """The files and results of a report.

    Attributes:
      page: The HTML file; None if only single pictures were made.
      pictures: The picture files by name.
      evaluation: The errors; None if no picture needed them.
    """

    page: Path | None
    pictures: dict[str, Path]
    evaluation: Evaluation | None

    def to_json(self) -> dict[str, Any]:
        """Returns the values for `--json`."""
        return {
            "report": None if self.page is None else str(self.page),
            "pictures": {name: str(path) for name, path in self.pictures.items()},
            "evaluation": None if self.evaluation is None else self.evaluation.to_json(),
        }


def make_report(
    run: str | Path | None = None,
    *,
    only: Sequence[str] = (),
    out: str | Path | None = None,
    progress: ProgressFactory | None = None,
    ten_crop: bool = True,
    **options: Any,
) -> Report:
    """Makes the report of a run, or single pictures of it.

    Args:
      run: The run's folder; None: the newest under saved_models/.
      only: Names of `FIGURES`: make these pictures instead of the page.
      out: The page, `.html`, with its pictures in `pictures/` beside it; or, with one picture in
        `only`, that picture, `.png`, `.pdf` or `.svg`. None: `report.html` in the run's folder.
      progress: Returns a progress bar for a description, as `ProgressReporter.progress`; None: no
        progress bars.
      ten_crop: Whether ten crops are evaluated too.
      **options: Of `ReportData`: data_dir, split, batch_size, image.

    Returns:
      The files and results.

    Raises:
      InputError: An argument is invalid; nothing was written.
    """
    for name in only:
        choose(name, tuple(FIGURES), "picture")
    folder = Path(run) if run is not None else newest_run()
    out = check_out(folder, out, only)
    progress = progress or _no_progress
    data = ReportData(folder, progress, ten_crop=ten_crop and not only, **options)
    if only:
        return _make_pictures(data, list(dict.fromkeys(only)), out)
    pictures = out.parent / FOLDER
    files: dict[str, Path] = {}
    charts: dict[str, Chart] = {}
    # Read the images first: if the data set is missing, nothing has been written.
    evaluation, _ = data.evaluation, data.neighbors
    with progress("drawing") as on_progress:
        for done, (name, entry) in enumerate(FIGURES.items(), start=1):
            figure = entry.draw(data, LIGHT)
            if figure is not None:
                pictures.mkdir(exist_ok=True)
                files[name] = save_figure(figure, pictures / f"{name}.png")
                if name not in _HTML_FIGURES:
                    charts[name] = _chart(data, name, files[name].read_bytes())
            on_progress(done, len(FIGURES))
    write_text(out, _valid_utf8(render_page(data, charts)))
    return Report(out, files, evaluation)


def check_out(run: Path, out: str | Path | None, only: Sequence[str]) -> Path:
    """Returns the path of the page, or with one name in `only`, of the picture.

    Raises:
      InputError: The path's suffix is wrong, or its folder does not exist or is read-only.
    """
    if out is None:
        if not is_writable(run):
            raise InputError(
                f"{printable(str(run))} is read-only: name the page, or the picture of "
                "--only, with --out"
            )
        return run / REPORT
    check_local_path(out, "--out")
    out = Path(out)
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: folder {out.parent} not found")
    if not is_writable(out.absolute().parent):
        raise InputError(f"--out {out}: folder {out.parent} is read-only")
    if only and len(set(only)) == 1:
        if out.suffix.lower() not in PICTURE_ENDINGS:
            raise InputError(f"--out {out}: the name must end in {', '.join(PICTURE_ENDINGS)}")
    elif only:
        raise InputError("--out is one file: omit it, or give --only once")
    elif out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {out}: the name must end in .html")
    return out


def _make_pictures(data: ReportData, only: Sequence[str], out: Path) -> Report:
    """Makes single pictures; writes nothing if one of them has no data."""
    figures = {}
    for name in only:
        figure = FIGURES[name].draw(data, LIGHT)
        if figure is None:
            raise InputError(f"--only {name}: this run has no data for the picture")
        figures[name] = figure
    files = {}
    for name, figure in figures.items():
        path = out
        if out.name == REPORT:
            folder = out.parent / FOLDER
            folder.mkdir(exist_ok=True)
            path = folder / f"{name}.png"
        files[name] = save_figure(figure, path)
    return Report(None, files, data.evaluation if data.is_evaluated else None)


def _chart(data: ReportData, name: str, light: bytes) -> Chart:
    """Returns a figure for the page; draws it again in the dark theme."""
    figure = FIGURES[name].draw(data, DARK)
    dark = light if figure is None else png_bytes(figure)
    width, height = struct.unpack(">II", light[16:24])  # from the PNG header
    uris = data_uri(light, "image/png"), data_uri(dark, "image/png")
    return Chart(*uris, width, height, FIGURES[name].alt(data))


def _valid_utf8(page: str) -> str:
    """Returns a page that UTF-8 can encode: file names may hold any bytes."""
    return page.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _no_progress(description: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """Returns a progress bar that shows nothing."""
    return nullcontext(lambda done, total: None)
