"""`experiment`: test the paper's claims."""

import shlex
from pathlib import Path
from typing import Any

import click

from alexnet_tf.commands.options import (
    COUNT,
    FOLDER,
    DataSetName,
    echo_json,
    flag,
    json_option,
    option,
)
from alexnet_tf.commands.train_options import train_option
from alexnet_tf.system import import_tensorflow

_OWN = "the experiment's"
_CHOICES = ("dataset", "seeds", "epochs", "limit_train", "limit_val", "precision")
_EXAMPLES = """\b
Examples:
  python cli.py experiment list
  python cli.py experiment relu-vs-tanh --dataset cifar10
  python cli.py experiment dropout --data-dir /data/tfds --seeds 1"""


@click.command(epilog=_EXAMPLES, short_help="Test the paper's claims.")
@click.argument("name")
@option(
    "--dataset",
    "Data set to train on, as for train.",
    default=_OWN,
    example="cifar10",
    type=DataSetName(),
)
@train_option("data_dir")
@option("--seeds", "How many seeds, from 0.", default=_OWN, example="5", type=COUNT)
@option("--epochs", "Epochs of every run.", default=_OWN, example="10", type=COUNT)
@option("--limit-train", "Training images.", default=_OWN, example="50000", type=COUNT)
@option("--limit-val", "Images to evaluate on.", default=_OWN, example="2000", type=COUNT)
@option(
    "--precision",
    "auto, float32 or bfloat16.",
    default="auto: bfloat16, or else float16, where the hardware is faster in it",
    example="float32",
    choices=("auto", "float32", "bfloat16"),
)
@option(
    "--out",
    "Folder of the runs and results; a stopped experiment resumes there.",
    default="saved_models/experiments/NAME",
    example="lrn-again",
    type=FOLDER,
)
@flag(
    "--keep-models",
    "Keep the models and checkpoints of finished runs.",
)
@json_option()
@flag("--quiet", "Show no progress.")
def command(name: str, as_json: bool, **options: Any) -> None:
    """Test the paper's claims; `list` shows them.

    Trains every variant, most with several seeds, and prints the claim and the measured results.
    Writes results.json, table.md, figure.png and the runs to the folder. With fewer seeds, epochs
    or images than the experiment's own, the results say that it was shortened.
    """
    if name == "list":
        _list(as_json)
        return
    from alexnet_tf.console import Console, ProgressReporter
    from alexnet_tf.experiments.claims import get_experiment
    from alexnet_tf.experiments.plan import new_plan

    experiment = get_experiment(name)
    plan = new_plan(experiment, **{option: options[option] for option in _CHOICES})
    root = Path(options["out"] or f"saved_models/experiments/{name}")
    import_tensorflow(start_devices=False)
    from alexnet_tf.experiments.runner import run_experiment
    from alexnet_tf.experiments.table import print_results

    results = run_experiment(
        experiment,
        plan,
        root,
        data_dir=options["data_dir"],
        keep_models=options["keep_models"],
        command=_command(name, options),
        quiet=options["quiet"],
    )
    if as_json:
        echo_json(results.to_json())
        return
    print_results(results, Console())
    reporter = ProgressReporter()
    reporter.message(f"written to {root}/: results.json, table.md, figure.png, runs/")


def _command(name: str, options: dict[str, Any]) -> str:
    """Returns the command for the results, without the paths of this computer."""
    words = ["python", "cli.py", "experiment", name]
    for key in _CHOICES:
        if options[key] is not None:
            value = str(options[key])
            shown = Path(value).resolve().name if Path(value).is_dir() else value
            words += ["--" + key.replace("_", "-"), shown]
    if options["data_dir"] is not None:
        words += ["--data-dir", "DIR"]
    return shlex.join(words)


def _list(as_json: bool) -> None:
    """Prints the experiments: claim, section, data, and the hours that the stored runs took."""
    from alexnet_tf.console import Console
    from alexnet_tf.experiments.claims import EXPERIMENTS
    from alexnet_tf.experiments.results import read_stored
    from alexnet_tf.experiments.table import format_duration

    stored = read_stored()
    rows: list[dict[str, Any]] = []
    for experiment in EXPERIMENTS.values():
        results = stored.get(experiment.name)
        rows.append(
            {
                "name": experiment.name,
                "claim": experiment.claim,
                "section": experiment.section,
                "paper_result": experiment.paper_result,
                "dataset": experiment.dataset,
                "train_examples": experiment.limit_train,
                "seeds": experiment.seeds,
                "variants": [variant.name for variant in experiment.variants],
                "hours": None if results is None else results.seconds / 3600,
                "machine": None if results is None else results.machine,
            }
        )
    if as_json:
        echo_json({"experiments": rows})
        return
    cells: list[list[str] | None] = []
    for row in rows:
        seeds = "1 seed" if row["seeds"] == 1 else f"{row['seeds']} seeds"
        images = "all" if row["train_examples"] is None else f"{row['train_examples']:,}"
        facts = [
            f"section {row['section']}" if row["section"] else "not in the paper",
            f"the paper's result: {row['paper_result']}" if row["paper_result"] else "",
            f"data: {row['dataset']}, {images} images, {seeds}",
            f"{format_duration(3600 * row['hours'])} on {row['machine']}" if row["hours"] else "",
        ]
        cells += [[row["name"], row["claim"]], ["", "; ".join(filter(None, facts))], None]
    Console().table(["experiment", "claim"], cells[:-1])
