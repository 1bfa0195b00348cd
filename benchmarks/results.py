"""Writes the experiments' part of docs/results.md from the results stored in docs/results.

python benchmarks/results.py                                          # write the page again
python benchmarks/results.py --add saved_models/experiments/dropout   # and store one more
"""

import json
from pathlib import Path

import click

from alexnet_tf.experiments.figure import draw_figure
from alexnet_tf.experiments.results import RESULTS
from alexnet_tf.experiments.stored import DOCS, PICTURES, STORED, block, read_stored, with_block
from alexnet_tf.files import write_text


@click.command(help=__doc__.split("\n", 1)[0])
@click.option(
    "--add",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of an experiment; may be repeated.",
)
def main(folders: tuple[Path, ...]) -> None:
    """Stores results and writes the page."""
    for folder in folders:
        try:
            results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise click.ClickException(
                f"{folder} has no {RESULTS}: let the experiment finish"
            ) from None
        name = results["experiment"]
        STORED.mkdir(exist_ok=True)
        (DOCS / PICTURES).mkdir(exist_ok=True)
        write_text(STORED / f"{name}.json", compact(results))
        draw_figure(results, DOCS / PICTURES / f"{name}.png")
    page = DOCS / "results.md"
    write_text(page, with_block(page.read_text(encoding="utf-8"), block(read_stored())))


def compact(results: dict[str, object]) -> str:
    """Returns JSON with a line for each field and each run, so that a change can be read."""
    lines = []
    for key, value in results.items():
        if key == "runs" and isinstance(value, list):
            runs = ",\n".join("  " + json.dumps(run) for run in value)
            lines.append(f'"runs": [\n{runs}\n]')
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
