"""The cluster's files: they parse, and so do the commands in them."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from alexnet_tf.cli import cli

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.yaml")), ids=lambda path: path.name)
def test_every_manifest_parses(path):
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    assert documents
    assert all(isinstance(document, dict) for document in documents)


def test_the_training_job_is_what_the_operator_takes_and_its_commands_parse():
    job = yaml.safe_load((DEPLOY / "tfjob.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    worker = job["spec"]["tfReplicaSpecs"]["Worker"]
    assert worker["replicas"] > 1
    assert worker["restartPolicy"] == "OnFailure"
    pod = worker["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == "tensorflow"
    assert {"name": "tfjob-port", "containerPort": 2222} in container["ports"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    mounted = container["volumeMounts"][0]["mountPath"]
    run = {each["name"]: each["value"] for each in container["env"]}["RUN"]
    assert run.startswith(mounted)
    commands = re.findall(r"exec alexnet-tf (.*?)(?:;|$)", container["args"][0].strip())
    assert len(commands) == 2
    for command in commands:
        name, *words = shlex.split(command.replace("$RUN", run))
        train = cli.get_command(click.Context(cli), name)
        options = train.make_context(name, words).params
        assert options["run_dir"] == run
        assert options["checkpoint_every"] == "10m"
    assert options["dataset"].startswith(mounted)
