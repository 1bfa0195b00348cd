"""Writes the experiments' part of docs/results.md, and its pictures, from docs/results/*.json.

python benchmarks/results.py                                          # write them again
python benchmarks/results.py --add saved_models/experiments/dropout   # and store one more
"""

import json
from pathlib import Path
from typing import Any

import click

from alexnet_tf.errors import InputError
from alexnet_tf.experiments.catalog import get_experiment
from alexnet_tf.experiments.figure import draw_figure
from alexnet_tf.experiments.results import RESULTS
from alexnet_tf.experiments.stored import PICTURES, block, read_stored, with_block
from alexnet_tf.files import write_text

DOCS = Path(__file__).parents[1] / "docs"  # of this clone, whichever is installed
STORED = DOCS / "results"


@click.command(help=__doc__.split("\n", 1)[0])
@click.option(
    "--add",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of an experiment; may be repeated.",
)
@click.option("--replace", is_flag=True, help="Also where more was stored, or other data.")
def main(folders: tuple[Path, ...], replace: bool) -> None:
    """Stores results, and writes the page and the pictures."""
    stored = read_stored(STORED)
    for folder in folders:
        results = read_results(folder / RESULTS)
        name = results["experiment"]
        if name in stored and not replace:
            refuse_less(stored[name], results, folder)
        stored[name] = results
        STORED.mkdir(exist_ok=True)
        write_text(STORED / f"{name}.json", compact(results))
        click.echo(f"stored {STORED / name}.json")
    (DOCS / PICTURES).mkdir(exist_ok=True)
    for name, results in stored.items():
        draw_figure(results, DOCS / PICTURES / f"{name}.png")
    page = DOCS / "results.md"
    write_text(page, with_block(page.read_text(encoding="utf-8"), block(stored)))
    click.echo(f"written {page}")


def read_results(path: Path) -> dict[str, Any]:
    """Returns what an experiment wrote.

    Raises:
      UsageError: It is not there, damaged, or of an experiment that there is not.
    """
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        get_experiment(results["experiment"])
    except FileNotFoundError:
        raise click.UsageError(f"{path} is not there: let the experiment finish") from None
    except InputError as error:
        raise click.UsageError(f"{path}: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise click.UsageError(f"{path} is damaged ({error!r}): run the experiment again") from None
    return results


def refuse_less(old: dict[str, Any], new: dict[str, Any], folder: Path) -> None:
    """Refuses results that are of other data than the stored ones, or of less of it.

    Raises:
      UsageError: They are.
    """
    for what, had, has in (
        ("data", old["data"]["name"], new["data"]["name"]),
        ("training images", old["data"]["train_examples"], new["data"]["train_examples"]),
        ("seeds", old["plan"]["seeds"], new["plan"]["seeds"]),
        ("epochs", old["plan"]["epochs"], new["plan"]["epochs"]),
    ):
        if had != has and (isinstance(had, str) or had is None or has is None or has < had):
            raise click.UsageError(
                f"{folder} has {what} {has}, the stored results {had}: give --replace to store "
                "them all the same"
            )


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
