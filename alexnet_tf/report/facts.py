"""The table of a run's settings."""

import datetime

from alexnet_tf.run_record import RunRecord


def facts(record: RunRecord, epochs: int) -> list[tuple[str, str]]:
    """Returns the rows of the settings table: names and values.

    Args:
      record: The run's record.
      epochs: Epochs finished.
    """
    recipe, data = record.recipe, record.dataset
    network, schedule = recipe.network, recipe.schedule.kind
    side, channels = network.input_size, network.channels
    changed = ", ".join(f"{name} {value}" for name, value in record.overrides.items())
    rows = [
        ("Recipe", recipe.name + (f", with {changed}" if changed else "")),
        ("Network", f"{side} × {side} {'RGB' if channels == 3 else 'gray'} input"),
        ("Parameters", f"{record.parameters:,}"),
        ("Data", f"{data.name}, {len(record.class_names):,} classes"),
        ("Trained on", f"{data.train_examples:,} images"),
        ("Epochs", f"{epochs} of {record.epochs}"),
        ("Batch", f"{recipe.batch_size:,} images"),
        ("Learning rate", f"{recipe.learning_rate:g}, {schedule}"),
        ("Momentum", f"{recipe.momentum:g}"),
        ("Weight decay", f"{recipe.weight_decay:g}"),
        ("Initialization", recipe.init),
        ("Dropout", f"{network.dropout:g}"),
        ("Seed", str(record.seed)),
        ("Precision", record.precision),
        ("Device", ", ".join(record.devices)),
        ("Started", _day(record.started)),
    ]
    if record.seconds:
        rows.append(("Took", _duration(record.seconds)))
    versions = record.versions
    rows.append(("Made with", f"TensorFlow {versions['tensorflow']}, Keras {versions['keras']}"))
    return rows


def _day(stamp: str) -> str:
    """Returns 2026-11-22T03:32:11+00:00 as "22 November 2026, 03:32"."""
    moment = datetime.datetime.fromisoformat(stamp)
    return f"{moment.day} {moment:%B %Y, %H:%M}"


def _duration(seconds: float) -> str:
    """Returns 3725.2 as "1 h 2 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
