"""Making a run's report: its pictures as files, and the page."""

import dataclasses
import struct
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from alexnet_tf.errors import InputError, choose
from alexnet_tf.evaluation.metrics import Evaluation
from alexnet_tf.figures.figure import png_bytes, save_picture
from alexnet_tf.figures.theme import DARK, LIGHT
from alexnet_tf.files import PICTURE_ENDINGS, check_local_path, write_text
from alexnet_tf.report.material import Counting, Material
from alexnet_tf.report.page import Chart, render_page
from alexnet_tf.report.pictures import PICTURES
from alexnet_tf.runs import newest_run

REPORT = "report.html"
FOLDER = "pictures"
# The page lays out these itself, from the images.
_NOT_AS_CHARTS = ("mistakes", "unsure", "similar")


@dataclasses.dataclass(frozen=True)
class Report:
    """What was made.

    Attributes:
      page: The HTML file; None where only pictures were asked for.
      pictures: The pictures' files, by name.
      evaluation: The errors; None where no picture needed them.
    """

    page: Path | None
    pictures: dict[str, Path]
    evaluation: Evaluation | None

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
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
    counting: Counting | None = None,
    ten_crop: bool = True,
    **options: Any,
) -> Report:
    """Makes a run's report, or some of its pictures.

    Args:
      run: The run's folder, or None: the newest under saved_models/.
      only: Pictures to make in place of the report, some of `PICTURES`.
      out: The page, `.html`, with its pictures in `pictures/` beside it; or, with one picture in
        `only`, that picture, `.png`, `.pdf` or `.svg`. None: `report.html` in the run's folder.
      counting: Gives a progress bar for each long part, as `ProgressReporter.progress`; None: none.
      ten_crop: Whether ten crops are judged too.
      **options: Of `Material`: data_dir, split, batch_size, image.

    Returns:
      What was made.

    Raises:
      InputError: Something given cannot be used; nothing was written.
    """
    for name in only:
        choose(name, tuple(PICTURES), "picture")
    folder = Path(run) if run is not None else newest_run()
    out = check_out(folder, out, only)
    material = Material(folder, counting or _silently, ten_crop=ten_crop and not only, **options)
    if only:
        return _pictures_alone(material, list(dict.fromkeys(only)), out)
    pictures = out.parent / FOLDER
    files: dict[str, Path] = {}
    charts: dict[str, Chart] = {}
    # The passes over images come first: if the data are not there, nothing has been written.
    evaluation, _ = material.evaluation, material.neighbors
    with (counting or _silently)("drawing") as on_progress:
        for done, (name, picture) in enumerate(PICTURES.items(), start=1):
            figure = picture.draw(material, LIGHT)
            if figure is not None:
                pictures.mkdir(exist_ok=True)
                files[name] = save_picture(figure, pictures / f"{name}.png")
                if name not in _NOT_AS_CHARTS:
                    charts[name] = _chart(material, name, files[name].read_bytes())
            on_progress(done, len(PICTURES))
    write_text(out, _valid(render_page(material, charts)))
    return Report(out, files, evaluation)


def check_out(run: Path, out: str | Path | None, only: Sequence[str]) -> Path:
    """Returns where a report goes: the page, or with `only` the picture or a page's place.

    Raises:
      InputError: The name does not fit what is asked for, or its folder is not there.
    """
    if out is None:
        return run / REPORT
    check_local_path(out, "--out")
    out = Path(out)
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}")
    if only and len(set(only)) == 1:
        if out.suffix.lower() not in PICTURE_ENDINGS:
            raise InputError(
                f"--out {out}: a picture's name must end in {', '.join(PICTURE_ENDINGS)}"
            )
    elif only:
        raise InputError("--out names one file: leave it out, or ask for one picture")
    elif out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {out}: the report's name must end in .html")
    return out


def _pictures_alone(material: Material, only: Sequence[str], out: Path) -> Report:
    """Makes single pictures."""
    figures = {}
    for name in only:
        figure = PICTURES[name].draw(material, LIGHT)
        if figure is None:
            raise InputError(f"--only {name}: this run has nothing to show in it")
        figures[name] = figure
    files = {}
    for name, figure in figures.items():
        path = out
        if out.name == REPORT:
            folder = out.parent / FOLDER
            folder.mkdir(exist_ok=True)
            path = folder / f"{name}.png"
        files[name] = save_picture(figure, path)
    judged = "judged" in vars(material)
    return Report(None, files, material.evaluation if judged else None)


def _chart(material: Material, name: str, light: bytes) -> Chart:
    """Returns a picture for the page, drawn once more on dark."""
    picture = PICTURES[name]
    figure = picture.draw(material, DARK)
    dark = light if figure is None else png_bytes(figure)
    width, height = struct.unpack(">II", light[16:24])  # of a PNG's header
    return Chart(light, dark, width, height, picture.alt(material))


def _valid(page: str) -> str:
    """Returns a page that UTF-8 can write: names of files may have any bytes."""
    return page.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _silently(what: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """Counts without a screen."""
    return nullcontext(lambda done, total: None)
