"""An option of training is one field, from which its help, record and resume check come."""

import dataclasses

import click
import pytest
from click.testing import CliRunner

from alexnet_tf.commands.train_options import field_options
from alexnet_tf.errors import InputError
from alexnet_tf.options import option, option_infos
from alexnet_tf.recipes import get_recipe
from alexnet_tf.train_options import TrainOptions
from alexnet_tf.training.run_settings import check_resume


@dataclasses.dataclass(frozen=True, kw_only=True)
class MoreOptions(TrainOptions):
    """The options, and one more."""

    dummy_level: int | None = option(
        "Not used by anything.", default="the recipe's", example="3", minimum=1
    )


def test_new_field_becomes_an_option_of_the_command():
    received = {}

    @click.command()
    def command(**options):
        received.update(options)

    for decorator in reversed(field_options(MoreOptions).values()):
        command = decorator(command)
    output = CliRunner().invoke(command, ["--help"]).output
    assert "--dummy-level" in output and "Not used by anything." in output
    assert CliRunner().invoke(command, ["--dummy-level", "2"]).exit_code == 0
    assert received["dummy_level"] == 2
    rejected = CliRunner().invoke(command, ["--dummy-level", "0"])
    assert rejected.exit_code == 2 and "dummy-level" in rejected.output


def test_new_field_is_recorded_and_checked_on_resume():
    began = MoreOptions(dummy_level=2)
    assert began.to_json() == {"dummy_level": 2}
    assert MoreOptions.from_json(began.to_json()) == began
    recipe = get_recipe("shapes")
    check_resume(MoreOptions(dummy_level=2), began, recipe)
    with pytest.raises(InputError, match="--dummy-level 3 differs from the run's 2"):
        check_resume(MoreOptions(dummy_level=3), began, recipe)
    with pytest.raises(InputError, match=r"--dummy-level must be at least 1\. Received: 0"):
        MoreOptions(dummy_level=0)


def test_train_options_all_have_help_default_and_example():
    for name, info in option_infos(TrainOptions).items():
        assert info.help.endswith("."), name
        assert info.default, name
        assert info.example or isinstance(getattr(TrainOptions(), name), bool), name


def test_unknown_option_raises_type_error():
    with pytest.raises(TypeError, match="learning_rat"):
        TrainOptions(learning_rat=0.1)
