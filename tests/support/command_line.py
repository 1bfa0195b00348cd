"""Runs a command line in the process of the test."""

import pytest

from alexnet_tf.cli import main


def run_command(arguments, capsys):
    """Returns exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as exited:
        main([str(argument) for argument in arguments])
    return (exited.value.code, *capsys.readouterr())
