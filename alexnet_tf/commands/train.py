"""`train`: train a network on a data set."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alexnet_tf.commands.options import echo_json
from alexnet_tf.commands.prepare import is_unprepared, prepare_for_training
from alexnet_tf.commands.train_options import train_options
from alexnet_tf.errors import InputError
from alexnet_tf.runs import epochs_done, has_seeds, newest_run, read_run
from alexnet_tf.system import command_name, import_tensorflow

if TYPE_CHECKING:
    from alexnet_tf.train_options import TrainOptions

_EXAMPLES = """\b
Examples:
  python cli.py train
  python cli.py train --dataset cifar10 --data-dir /data/tfds --epochs 8
  python cli.py train --dataset photos/ --recipe photos"""


@click.command(epilog=_EXAMPLES, short_help="Train a network on a data set.")
@train_options
def command(**options: Any) -> None:
    """Train a network on a data set.

    Without options: a small AlexNet on the built-in data set, in under three minutes on two cores.
    The model, its curves and all settings are saved in a folder under saved_models/.
    """
    as_json, is_dry = options.pop("as_json"), options.pop("dry_run")
    options["seeds"] = _seeds(options)
    check(options)
    if is_dry:
        _dry_run(options, as_json)
        return
    prepare, given = options.pop("prepare"), []
    if not options["resume"] and is_unprepared(options["dataset"]):
        options["dataset"] = _prepared(options["dataset"], prepare, bool(options["quiet"]))
        # For the workers: of a repeated option the last value counts.
        given = ["--dataset", options["dataset"], "--no-prepare"]
    workers = options.pop("workers")
    if workers is not None:
        from alexnet_tf.training.cluster import run_local_cluster

        sys.exit(run_local_cluster(_without_workers(sys.argv[1:]) + given, workers))
    import_tensorflow(start_devices=False)  # the strategy is set up first
    given_options = {name: value for name, value in options.items() if value is not None}
    if "seeds" in given_options:
        from alexnet_tf.training.seeds import seed_statistics, train_seeds

        results = train_seeds(**given_options)
        if as_json:
            runs = [_result(each.run_dir) for each in results]
            echo_json({"runs": runs, "statistics": seed_statistics(results)})
    else:
        from alexnet_tf.training.cluster import worker_index
        from alexnet_tf.training.train import train

        result = train(**given_options)
        if as_json and worker_index() == 0:
            echo_json(_result(result.run_dir))


def _result(run: Path) -> dict[str, Any]:
    """Returns the final record of a run."""
    return {"run": str(run), **read_run(run).to_json()}


def _dry_run(options: dict[str, Any], as_json: bool) -> None:
    """Prints the settings table and the layers of the run that the options would start.

    Raises:
      InputError: An option or the data cannot be used.
    """
    seeds = options.pop("seeds")
    if options.pop("workers") is not None or seeds == ():
        raise InputError("--dry-run shows one run: leave out --workers, or name a run of the seeds")
    if seeds is not None:
        options["seed"] = seeds[0]
    options.pop("prepare")  # which would write a folder
    import_tensorflow(start_devices=False)
    from alexnet_tf.commands.summary import print_layers
    from alexnet_tf.console import Console
    from alexnet_tf.model.inspection import layer_table
    from alexnet_tf.training.train import dry_run

    given = {name: value for name, value in options.items() if value is not None}
    rows, model = dry_run(**given)
    summary = layer_table(model)
    if as_json:
        echo_json({"settings": rows, "summary": summary.to_json()})
        return
    console = Console()
    console.settings(rows)
    print_layers(summary, "\nlayers", console)


def _seeds(options: dict[str, Any]) -> tuple[int, ...] | None:
    """Returns the seeds of a series, () for those of a series that resumes, None for a single run.

    Raises:
      InputError: --seeds is not numbers, or was given with --seed or --workers.
    """
    folder, text = options["run_dir"], options["seeds"]
    if options["resume"] and folder is None and text is None:
        parent = newest_run().parent
        folder = options["run_dir"] = str(parent) if has_seeds(parent) else None
    if text is None and not (options["resume"] and folder is not None and has_seeds(folder)):
        return None
    for other in ("seed", "workers"):
        if options[other] is not None:
            raise InputError(f"--seeds trains run after run on one machine: leave out --{other}")
    try:
        return () if text is None else tuple(int(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"--seeds must be numbers such as 1,2,3. Received: {text}") from None


def _prepared(folder: str, wanted: bool | None, quiet: bool) -> str:
    """Prepares a folder of images if wanted, and returns the folder to train on.

    Args:
      folder: A folder of images.
      wanted: Whether to prepare it; None prompts the user at a terminal.
      quiet: Whether to print only errors, without a prompt.

    Raises:
      InputError: It cannot be prepared, or there are several workers.
    """
    has_workers = bool(os.environ.get("TF_CONFIG"))
    if wanted and has_workers:  # all of them would write to the same folder
        raise InputError(
            "--prepare does not support several workers (TF_CONFIG): run "
            f"`{command_name()} prepare {shlex.quote(folder)}` first, and give all workers the "
            "folder that it writes as --dataset"
        )
    if wanted is None:
        wanted = (
            not has_workers
            and not quiet
            and sys.stdin.isatty()
            and sys.stderr.isatty()
            and click.confirm(
                f"{folder} is not prepared: damaged files are not repaired, and every epoch "
                "decodes and rescales each image. Prepare it now, once, into prepared/?",
                err=True,
            )
        )
    if not wanted:
        return folder
    import_tensorflow(start_devices=False)
    return prepare_for_training(folder, quiet=quiet)


def _without_workers(arguments: list[str]) -> list[str]:
    """Returns the command line's arguments without --workers and its value."""
    kept, words = [], iter(arguments)
    for word in words:
        if word == "--workers":
            next(words)
        elif not word.startswith("--workers="):
            kept.append(word)
    return kept


def check(options: dict[str, Any]) -> None:
    """Checks the options that can be checked without TensorFlow, which takes seconds to import.

    Args:
      options: The values by name, None where not given.

    Raises:
      InputError: An option cannot be used.
    """
    from alexnet_tf.model.geometry import check_towers
    from alexnet_tf.options import option_infos
    from alexnet_tf.recipes import get_recipe, recipe_for
    from alexnet_tf.runs import is_free
    from alexnet_tf.train_options import TrainOptions
    from alexnet_tf.training.cluster import worker_index

    given = TrainOptions(**{name: options[name] for name in option_infos(TrainOptions)})
    named = options["recipe"]
    recipe = get_recipe(named) if named else recipe_for(given.dataset or "shapes")
    recipe = given.apply_to(recipe)
    # The network of a run that resumes, or that --weights brings, is not known yet.
    if given.parallelism == "towers" and not options["resume"] and not given.weights:
        check_towers(recipe.network)
    if given.freeze and not given.weights:
        raise InputError("--freeze needs --weights: layers without trained weights must be trained")
    folder = options["run_dir"]
    if options["resume"] and options["seeds"] is None:  # each run of a series is checked later
        _check_resume(given, folder)
    starts = folder is not None and not options["resume"] and worker_index() == 0
    if starts and not is_free(Path(folder)):
        raise InputError(
            f"--run-dir {folder} is not empty: name a new folder, or add --resume to resume the "
            "run in it"
        )


def _check_resume(given: "TrainOptions", folder: str | None) -> None:
    """Raises InputError if a run cannot resume with these options."""
    from alexnet_tf.training.run_settings import check_epochs, resumed_settings

    if given.weights is not None:
        raise InputError("--weights starts a new run: leave out --weights or --resume")
    path = Path(folder) if folder is not None else newest_run()
    settings = resumed_settings(read_run(path), given)
    try:
        done = epochs_done(path)
    except InputError:
        return  # a damaged history is restored from the checkpoint
    check_epochs(settings.epochs, done, path)
