"""Options of `train` that replace values of the recipe: schedule, label smoothing, patience."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf as an
from alexnet_tf import runs
from alexnet_tf.cli import main
from alexnet_tf.errors import InputError
from alexnet_tf.model.networks import build_model
from alexnet_tf.recipes import get_recipe
from alexnet_tf.run_record import EpochRecord
from alexnet_tf.settings import Schedule
from alexnet_tf.train_options import TrainOptions
from alexnet_tf.training.optimizers import PaperMomentum
from alexnet_tf.training.schedule import LearningRateSchedule
from alexnet_tf.training.state import Totals
from alexnet_tf.training.step import TrainingStep


def applied(recipe="paper", **options):
    """A recipe with options applied."""
    return TrainOptions(**options).apply_to(get_recipe(recipe))


def learning_rates(recipe):
    """The learning rate of the kernels in each epoch."""
    schedule = LearningRateSchedule(recipe, 1, ["conv1/kernel"])
    return [schedule.at(epoch).kernels for epoch in range(recipe.epochs)]


def test_step_epochs_divide_the_learning_rate_by_ten():
    recipe = applied(epochs=90, step_epochs=(30, 60, 80))
    rates = learning_rates(recipe)
    expected = [0.01] * 30 + [0.001] * 30 + [0.0001] * 20 + [0.00001] * 10
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert recipe.option_value("step_epochs") == (30, 60, 80)


def test_schedule_steps_without_epochs_is_at_thirds():
    recipe = applied(epochs=90, schedule="steps")
    assert recipe.option_value("step_epochs") == (30, 60)


def test_schedule_steps_of_a_short_run_begins_at_the_full_learning_rate():
    for epochs in (1, 2, 3):
        recipe = applied("two-gpu", epochs=epochs)
        assert learning_rates(recipe)[0] == pytest.approx(0.01)
    assert recipe.option_value("step_epochs") == (1, 2, 3)


def test_schedule_cosine_ends_near_zero():
    rates = learning_rates(applied(epochs=10, schedule="cosine"))
    expected = [0.005 * (1 + np.cos(np.pi * epoch / 10)) for epoch in range(10)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_two_gpu_recipe_has_the_published_schedule():
    recipe = get_recipe("two-gpu")
    assert recipe.option_value("step_epochs") == (30, 60, 80)
    assert get_recipe("article").option_value("step_epochs") == (30, 60)
    assert (recipe.label_smoothing, recipe.crop, recipe.lighting_std) == (
        0.1,
        "random-resized",
        0.1,
    )
    assert (recipe.batch_size, recipe.learning_rate, recipe.momentum) == (128, 0.01, 0.9)
    assert (recipe.weight_decay, recipe.epochs, recipe.init) == (5e-4, 90, "normal")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_epochs": (30, 20)}, "must be ascending.*Received: 30,20"),
        ({"step_epochs": (0, 5)}, "from 1"),
        ({"step_epochs": (90,)}, "below the 90 epochs"),
        ({"step_epochs": (5,), "schedule": "cosine"}, "needs --schedule steps. Received: cosine"),
    ],
)
def test_impossible_step_epochs_are_rejected(options, message):
    with pytest.raises(InputError, match=message):
        applied(**options)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--step-epochs", "ten"], ("--step-epochs", "numbers separated by commas")),
        (["--step-epochs", "3,"], ("--step-epochs", "numbers")),
        (["--schedule", "linear"], ("--schedule", "cosine")),
        (["--label-smoothing", "1"], ("--label-smoothing",)),
        (["--patience", "0"], ("--patience",)),
        (["--lighting-std", "-1"], ("--lighting-std",)),
        (["--color-jitter", "2"], ("--color-jitter",)),
        (["--crop", "center"], ("--crop", "random-resized")),
        (["--optimizer", "sgd"], ("--optimizer", "adamw")),
    ],
)
def test_bad_values_are_rejected_before_tensorflow_loads(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", *arguments])
    err = capsys.readouterr().err
    assert caught.value.code == 2 and err.count("\n") == 1
    assert all(word in err for word in words)


@pytest.mark.parametrize("options", [{"patience": 3}, {"schedule": "plateau"}])
def test_options_that_need_validation_hold_out_a_part_of_train(options):
    assert applied("cifar10").hold_out == 0
    assert applied("cifar10", **options).hold_out == 0.1


def test_label_smoothing_changes_the_update_and_not_the_reported_loss(tiny_recipe):
    model = build_model(tiny_recipe, classes=3, mean=(0.0, 0.0, 0.0), dropout=0.0)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 16, 16, 3)).astype(np.uint8)
    labels = np.arange(6) % 3
    logits_of = keras.Model(model.input, model.get_layer("prob").input)
    variables = model.trainable_variables
    before = [variable.numpy() for variable in variables]
    targets = keras.ops.one_hot(labels, 3)
    smoothed = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    with tf.GradientTape() as tape:
        logits = logits_of(images.astype("float32"), training=True)
        value = smoothed(targets, logits)
    gradients = tape.gradient(value, variables)
    plain = keras.losses.CategoricalCrossentropy(from_logits=True)(targets, logits).numpy()

    optimizer = PaperMomentum(0.01, weight_decay=0.0)
    optimizer.build(variables)
    strategy = tf.distribute.get_strategy()
    step = TrainingStep(model, optimizer, strategy, seed=0, label_smoothing=0.1)
    batch = {
        "image": images,
        "label": labels,
        "weight": np.ones(6, np.float32),
        "offset": np.zeros((6, 3), np.float32),
    }
    totals = Totals()
    totals.add(step(iter(tf.data.Dataset.from_tensors(batch)), 1))
    assert totals.loss == pytest.approx(float(plain), rel=1e-5)
    assert abs(float(value) - float(plain)) > 1e-4
    for variable, old, gradient in zip(variables, before, gradients, strict=True):
        np.testing.assert_allclose(variable.numpy(), old - 0.01 * gradient, atol=2e-6)


def numbers(history):
    """The history without times."""
    times = ("seconds", "images_per_second", "waiting_fraction")
    records = [record.to_json() for record in history]
    assert records and set(times) < set(EpochRecord.__dataclass_fields__)
    return [{k: v for k, v in record.items() if k not in times} for record in records]


@pytest.mark.parametrize(
    "options",
    [
        {
            "optimizer": "nesterov",
            "step_epochs": (1, 2),
            "label_smoothing": 0.1,
            "lighting_std": 0.3,
            "crop": "random-resized",
            "color_jitter": 0.4,
        },
        {"optimizer": "adamw", "learning_rate": 1e-3, "schedule": "cosine", "patience": 9},
    ],
)
def test_run_with_these_options_resumes_bitwise(options, tiny_recipe, photos, tmp_path):
    given = {"recipe": tiny_recipe, "precision": "float32", "quiet": True, **options}
    whole = an.train(str(photos), run_dir=tmp_path / "whole", **given)

    class KilledError(Exception):
        pass

    def kill(record):
        if record.epoch == 2:
            raise KilledError

    with pytest.raises(KilledError):
        an.train(str(photos), run_dir=tmp_path / "parts", on_epoch=kill, **given)
    parts = an.train(run_dir=tmp_path / "parts", resume=True, quiet=True)
    assert numbers(parts.history) == numbers(whole.history)
    models = [an.load_model(result.run_dir / "last.keras") for result in (whole, parts)]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match=r"--lighting-std 0\.7 differs"):
        an.train(run_dir=tmp_path / "parts", resume=True, quiet=True, lighting_std=0.7)


def test_patience_ends_training_and_keeps_the_best_epoch(tiny_recipe, photos, tmp_path, capsys):
    # Weights that cannot change: every epoch is as good as the first.
    frozen = tiny_recipe.replace(learning_rate=1e-30, schedule=Schedule(kind="constant"))
    given = {"recipe": frozen, "precision": "float32", "epochs": 9}
    result = an.train(str(photos), run_dir=tmp_path / "run", patience=2, **given)
    assert [record.epoch for record in result.history] == [1, 2, 3]
    assert result.best_epoch == 1
    assert runs.read_run(tmp_path / "run").finished is not None
    assert "no better validation result in 2 epochs" in capsys.readouterr().err
    again = an.train(run_dir=tmp_path / "run", resume=True, quiet=True)
    assert numbers(again.history) == numbers(result.history)
