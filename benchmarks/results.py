"""Writes the experiments' part of docs/results.md and its figures from the stored results.

python benchmarks/results.py                                          # write them again
python benchmarks/results.py --add saved_models/experiments/dropout   # store one more before
"""

import json
import re
from pathlib import Path

import click

from alexnet_tf.errors import InputError
from alexnet_tf.experiments.claims import EXPERIMENTS
from alexnet_tf.experiments.figure import draw_figure
from alexnet_tf.experiments.results import Results, read_results, read_stored
from alexnet_tf.experiments.table import markdown, verdict
from alexnet_tf.files import write_text

ROOT = Path(__file__).parents[1]  # this clone, whichever package is installed
DOCS = ROOT / "docs"
STORED = ROOT / "alexnet_tf" / "experiments" / "stored"
BEGIN, END = "<!-- experiments -->", "<!-- end of experiments -->"
_SOURCE = "<!-- written by `python benchmarks/results.py` from the stored results -->"


@click.command(help=__doc__.split("\n", 1)[0])
@click.option(
    "--add",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of an experiment whose results are to be stored; may be repeated.",
)
@click.option(
    "--replace", is_flag=True, help="Also replace results of more seeds, epochs or images."
)
def main(folders: tuple[Path, ...], replace: bool) -> None:
    """Stores results, and writes the page and the figures."""
    stored = read_stored(STORED)
    for folder in folders:
        try:
            results = read_results(folder / "results.json")
        except InputError as error:
            raise click.UsageError(str(error)) from None
        name = results.experiment
        if name in stored and not replace:
            check_not_fewer(stored[name], results, folder)
        stored[name] = results
        write_text(STORED / f"{name}.json", to_text(results))
        click.echo(f"stored {STORED / name}.json")
    for name, results in stored.items():
        draw_figure(results, DOCS / "pictures" / f"{name}.png")
    page = DOCS / "results.md"
    write_text(page, replace_block(page.read_text(encoding="utf-8"), markdown_block(stored)))
    click.echo(f"written {page}")


def check_not_fewer(old: Results, new: Results, folder: Path) -> None:
    """Rejects results of another data set than the stored ones, or of fewer images or runs.

    Raises:
      UsageError: They are.
    """
    for what, before, after in (
        ("data", old.data.name, new.data.name),
        ("training images", old.data.train_examples, new.data.train_examples),
        ("seeds", old.plan.seeds, new.plan.seeds),
        ("epochs", old.plan.epochs, new.plan.epochs),
    ):
        is_more = isinstance(before, int) and isinstance(after, int) and after > before
        if before != after and not is_more:
            raise click.UsageError(
                f"{folder} has {what} {after}, the stored results {before}: give --replace to "
                "store them all the same"
            )


def to_text(results: Results) -> str:
    """Returns JSON with one line for each field and each run, so that differences are readable."""
    lines = []
    for key, value in results.to_json().items():
        if key == "runs":
            runs = ",\n".join("  " + json.dumps(run) for run in value)
            lines.append(f'"runs": [\n{runs}\n]')
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def markdown_block(stored: dict[str, Results]) -> str:
    """Returns a summary and all results as Markdown, in the order of `EXPERIMENTS`."""
    rows = ["| experiment | section | result |", "|---|---|---|"]
    sections = []
    for name, experiment in EXPERIMENTS.items():
        if name in stored:
            section = experiment.section or "not in the paper"
            sentences, _ = verdict(experiment, stored[name])
            rows.append(f"| [{name}](#{name}) | {section} | {' '.join(sentences)} |")
            sections += [f"### {name}", markdown(stored[name]), f"![{name}](pictures/{name}.png)"]
    return "\n\n".join([BEGIN, _SOURCE, "\n".join(rows), *sections, END])


def replace_block(page: str, block: str) -> str:
    """Returns the page with `block` in place of the lines from `BEGIN` to `END`.

    Raises:
      UsageError: The page does not have both lines.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise click.UsageError(f"the page has no lines {BEGIN} and {END}")
    return pattern.sub(lambda _: block, page, count=1)


if __name__ == "__main__":
    main()
