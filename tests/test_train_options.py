"""An option of training is one field: help, record and the check on resume come from it."""

import dataclasses

import click
import pytest
from click.testing import CliRunner

from alexnet_tf.commands.train_options import field_options
from alexnet_tf.errors import InputError
from alexnet_tf.options import option, option_infos
from alexnet_tf.recipes import get_recipe
from alexnet_tf.train_options import TrainOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class MoreOptions(TrainOptions):
    """The options with one more."""

    dummy_level: int | None = option(
        "A dummy that nothing uses.", default="the recipe's", example="3", minimum=1
    )


def test_a_new_field_is_an_option_of_the_command():
    seen = {}

    @click.command()
    def command(**options):
        seen.update(options)

    for decorator in reversed(field_options(MoreOptions).values()):
        command = decorator(command)
    shown = CliRunner().invoke(command, ["--help"]).output
    assert "--dummy-level" in shown and "A dummy that nothing uses." in shown
    assert CliRunner().invoke(command, ["--dummy-level", "2"]).exit_code == 0
    assert seen["dummy_level"] == 2
    refused = CliRunner().invoke(command, ["--dummy-level", "0"])
    assert refused.exit_code == 2 and "dummy-level" in refused.output


def test_a_new_field_is_recorded_and_checked_on_resume():
    began = MoreOptions(dummy_level=2)
    assert began.to_json() == {"dummy_level": 2}
    assert MoreOptions.from_json(began.to_json()) == began
    recipe = get_recipe("shapes")
    MoreOptions(dummy_level=2).check_resumes(began, recipe)
    with pytest.raises(InputError, match="--dummy-level 3 differs from the run's 2"):
        MoreOptions(dummy_level=3).check_resumes(began, recipe)
    with pytest.raises(InputError, match=r"--dummy-level must be at least 1\. Received: 0"):
        MoreOptions(dummy_level=0)


def test_every_option_has_help_a_default_and_an_example():
    for name, info in option_infos(TrainOptions).items():
        assert info.help.endswith("."), name
        assert info.default, name
        assert info.example or isinstance(getattr(TrainOptions(), name), bool), name


def test_an_option_that_does_not_exist_is_a_type_error():
    with pytest.raises(TypeError, match="learning_rat"):
        TrainOptions(learning_rat=0.1)
