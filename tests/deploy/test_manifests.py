"""The files for clusters: they parse, their commands run, and TF_CONFIG is valid."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import tensorflow as tf
import yaml

from alexnet_tf.cli import cli
from alexnet_tf.export.export import ExportOptions
from alexnet_tf.training.cluster import worker_index

DEPLOY = Path(__file__).parents[2] / "deploy"
NODES = ("node7", "node8", "node12")
# Prints its arguments and TF_CONFIG.
TRAINING = """#!/bin/sh
printf '%s\\n' "$*" >> "$RECORDS/arguments"
printf '%s' "$TF_CONFIG" > "$RECORDS/config-$(ls "$RECORDS" | wc -l)"
"""
SCONTROL = f"""#!/bin/sh
[ "$*" = "show hostnames node[7-8,12]" ] && printf '%s\\n' {" ".join(NODES)}
"""
# Runs a command once per task, as srun does.
SRUN = f"""#!/bin/sh
for task in {" ".join(map(str, range(len(NODES))))}; do SLURM_PROCID=$task "$@"; done
"""


def documents(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


@pytest.fixture
def run_shell(tmp_path):
    """Returns a function that runs a script with substitutes for the cluster's programs.

    The function returns the arguments and the TF_CONFIG of each training, in order.
    """
    programs, records = tmp_path / "bin", tmp_path / "records"
    programs.mkdir()
    for name, text in (("alexnet-tf", TRAINING), ("scontrol", SCONTROL), ("srun", SRUN)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def run(script, shell="/bin/sh", **environment):
        records.mkdir()
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            [shell, "-c", script],
            env={**os.environ, "PATH": path, "RECORDS": str(records), **environment},
            check=True,
        )
        arguments = (records / "arguments").read_text().splitlines()
        configs = [path.read_text() for path in sorted(records.glob("config-*"))]
        for path in records.iterdir():
            path.unlink()
        records.rmdir()
        return list(zip(arguments, configs, strict=True))

    return run


def train_options(arguments):
    """Returns the options as the command line parses them; an invalid one raises."""
    name, *words = shlex.split(arguments)
    assert name == "train"
    return cli.get_command(click.Context(cli), name).make_context(name, words).params


def check_config(config, index, addresses, monkeypatch):
    """Checks TF_CONFIG with TensorFlow's own parser and with this package's."""
    monkeypatch.setenv("TF_CONFIG", config)
    assert json.loads(config).keys() == {"cluster", "task"}
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    assert resolver.cluster_spec().as_dict() == {"worker": addresses}
    assert (resolver.task_type, resolver.task_id) == ("worker", index)
    assert worker_index() == index


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.yaml")), ids=lambda path: path.name)
def test_every_manifest_parses(path):
    parsed = documents(path.name)
    assert parsed
    assert all(isinstance(document, dict) for document in parsed)


def test_compose_runs_commands_in_an_image_of_the_dockerfile_without_root():
    (compose,) = documents("compose.yaml")
    commands, serving = (compose["services"][name] for name in ("alexnet-tf", "serving"))
    dockerfile = DEPLOY / commands["build"]["context"] / commands["build"]["dockerfile"]
    stages = re.split(r"^FROM \S+ AS ", dockerfile.read_text(encoding="utf-8"), flags=re.MULTILINE)
    users = {stage.split()[0]: re.findall(r"^USER (\d+)$", stage, re.MULTILINE) for stage in stages}
    assert users[commands["build"]["target"]] == users["gpu"] == ["1000"]
    assert commands["profiles"] and "profiles" not in serving  # `docker compose up` only serves
    # `export` in the container writes what the server reads on the host.
    written = commands["volumes"][0]["source"].removeprefix("${WORK:-").removesuffix("}")
    read = serving["volumes"][0]["source"].removeprefix("${SERVING:-").removesuffix("}")
    assert Path(read) == Path(written, ExportOptions().out)


def test_batching_parameters_are_the_same_for_docker_and_kubernetes():
    def parameters(text):
        return re.findall(r"^\s*(\w+ \{ value: \d+ \})", text, re.MULTILINE)

    (inline,) = (d["data"]["batching.config"] for d in documents("kubernetes.yaml") if "data" in d)
    assert parameters(inline) == parameters((DEPLOY / "batching.config").read_text())
    assert len(parameters(inline)) == 4


def pod_and_container(template):
    """Returns pod and container; checks that exactly the declared volumes are mounted."""
    pod = template["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    return pod, container


def check_training(container, run_shell, environment):
    """Checks the commands of a new and of a resumed run; returns TF_CONFIG of the new run."""
    mounted = container["volumeMounts"][0]["mountPath"]
    run = {each["name"]: each["value"] for each in container["env"]}["RUN"]
    assert run.startswith(mounted)
    assert container["command"] == ["/bin/sh", "-c"]
    (script,) = container["args"]
    ((arguments, config),) = run_shell(script, RUN=run, **environment)
    options = train_options(arguments)
    assert (options["run_dir"], options["checkpoint_every"]) == (run, "10m")
    assert options["dataset"].startswith(mounted) and not options["resume"]
    return script, config


def check_resumed(script, run_shell, folder, environment):
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    ((arguments, _),) = run_shell(script, RUN=str(folder), **environment)
    options = train_options(arguments)
    assert options["resume"] and options["run_dir"] == str(folder)
    assert (options["checkpoint_every"], options["dataset"]) == ("10m", None)


def test_indexed_job_gives_every_worker_a_valid_tf_config(run_shell, monkeypatch, tmp_path):
    service, job = documents("training-job.yaml")
    assert (service["kind"], service["spec"]["clusterIP"]) == ("Service", "None")
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    spec, name = job["spec"], job["metadata"]["name"]
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"] > 1
    pod, container = pod_and_container(spec["template"])
    # The Job labels its pods with its name; a pod resolves as <job>-<index>.<subdomain>.
    assert service["spec"]["selector"] == {"job-name": name}
    assert pod["subdomain"] == service["metadata"]["name"]
    assert pod["restartPolicy"] == "Never"  # as podFailurePolicy requires
    exit_codes = [rule.get("onExitCodes") for rule in spec["podFailurePolicy"]["rules"]]
    assert {"containerName": container["name"], "operator": "In", "values": [2]} in exit_codes
    (port,) = (each["containerPort"] for each in container["ports"])
    addresses = [f"{name}-{i}.{pod['subdomain']}:{port}" for i in range(spec["completions"])]
    for index in range(spec["completions"]):
        environment = {"JOB_COMPLETION_INDEX": str(index)}
        script, config = check_training(container, run_shell, environment)
        check_config(config, index, addresses, monkeypatch)
    # In args, Kubernetes replaces $(NAME), and $$ by $.
    assert "$(" not in script and "$$" not in script
    check_resumed(script, run_shell, tmp_path / "run", {"JOB_COMPLETION_INDEX": "0"})


def test_tfjob_has_the_fields_of_the_operator_and_valid_commands(run_shell, tmp_path):
    (job,) = documents("tfjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    worker = job["spec"]["tfReplicaSpecs"]["Worker"]
    assert worker["replicas"] > 1
    assert worker["restartPolicy"] == "OnFailure"
    _, container = pod_and_container(worker["template"])
    assert container["name"] == "tensorflow"
    assert {"name": "tfjob-port", "containerPort": 2222} in container["ports"]
    script, _ = check_training(container, run_shell, {"TF_CONFIG": "{}"})
    check_resumed(script, run_shell, tmp_path / "run", {"TF_CONFIG": "{}"})


def test_slurm_script_gives_every_worker_a_valid_tf_config(run_shell, monkeypatch, tmp_path):
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", text, re.DOTALL)
    folder = tmp_path / "run"
    script, count = re.subn(r"^run=.*$", f"run={folder}", script, flags=re.MULTILINE)
    assert count == 1
    trainings = run_shell(script, "bash", SLURM_JOB_NODELIST="node[7-8,12]")
    assert len(trainings) == len(NODES)
    for index, (arguments, config) in enumerate(trainings):
        options = train_options(arguments)
        assert options["run_dir"] == str(folder) and options["dataset"] and not options["resume"]
        check_config(config, index, [f"{node}:2222" for node in NODES], monkeypatch)
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    for arguments, _ in run_shell(script, "bash", SLURM_JOB_NODELIST="node[7-8,12]"):
        options = train_options(arguments)
        assert options["resume"] and options["dataset"] is None
