"""The command line: help, exit codes, one-line errors."""

import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image
from run_records import epoch_record, run_record

from alexnet_tf import cli as cli_module
from alexnet_tf.cli import COMMANDS, cli, main
from alexnet_tf.commands import train as train_command
from alexnet_tf.commands.options import DataDir, DataSetName, UserPath, echo_json
from alexnet_tf.commands.summary import print_layers
from alexnet_tf.console import Console
from alexnet_tf.errors import InputError, TrainingError
from alexnet_tf.recipes import get_recipe
from alexnet_tf.run_record import history_text
from alexnet_tf.runs import HISTORY, write_run

ROOT = Path(__file__).parents[1]


def outcome(arguments, capsys):
    """Runs `main` and returns exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    captured = capsys.readouterr()
    return left.value.code, captured.out, captured.err


def assert_refused(arguments, capsys, *words):
    code, out, err = outcome(arguments, capsys)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_help_imports_nothing_that_is_slow():
    # One process for all commands: a module that any of them imports is still loaded at the end.
    code = (
        "import sys\n"
        "from alexnet_tf.cli import main\n"
        "heavy = ('tensorflow', 'keras', 'numpy', 'matplotlib', 'tensorflow_datasets', 'rich')\n"
        "for name in ['', *sys.argv[1:]]:\n"
        "    try: main([*name.split(), '--help'])\n"
        "    except SystemExit as left: code = left.code\n"
        "    print(name, code, [m for m in heavy if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMANDS], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr.splitlines() == [f"{name} 0 []" for name in ("", *COMMANDS)]
    for name in ("", *COMMANDS):
        assert f"Usage: alexnet-tf {name}" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_tells_its_default_and_an_example(name):
    command = cli.get_command(click.Context(cli), name)
    assert command.help
    assert f"python cli.py {name}" in command.epilog
    for option in command.params:
        if isinstance(option, click.Argument):
            continue
        assert re.search(rf"\[default: .+; e\.g\. {option.opts[0]}\b.*\]$", option.help), (
            option.name
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_both_readmes(name):
    for readme in ("README.md", "README.zh-CN.md"):
        assert f"python cli.py {name}" in (ROOT / readme).read_text(encoding="utf-8")


def test_the_examples_in_the_help_are_ones_that_parse(monkeypatch):
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        examples = re.findall(rf"python cli.py {name}(.*)", command.epilog)
        assert examples
        for example in examples:
            command.make_context(name, example.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_an_empty_path_or_name_is_refused_and_not_taken_for_the_working_folder(name):
    command = cli.get_command(click.Context(cli), name)
    needed = ["x" for param in command.params if isinstance(param, click.Argument)]
    options = [
        param.opts[0]
        for param in command.params
        if isinstance(param, click.Option) and isinstance(param.type, (click.Path, DataSetName))
    ]
    assert options
    for option in options:
        with pytest.raises(click.BadParameter, match=r"the (path|name) is empty") as refused:
            command.make_context(name, [*needed, option, ""])
        assert option in refused.value.format_message()


@pytest.mark.parametrize("command", ["predict", "similar", "import-weights"])
def test_an_empty_image_or_file_is_refused(command, capsys):
    assert_refused([command, ""], capsys, "the path is empty")


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_breaks_no_word_at_a_hyphen(name, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = outcome([*name.split(), "--help"], capsys)
    assert code == 0
    assert "\N{NON-BREAKING HYPHEN}" not in out
    assert not re.search(r"\w-$", out, re.MULTILINE)


def test_no_command_shows_the_help(capsys):
    code, out, err = outcome([], capsys)
    assert (code, err) == (0, "")
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], ("trian", "train")),
        (["train", "--epohcs", "3"], ("--epohcs",)),
        (["train", "--epochs", "0"], ("--epochs",)),
        (["train", "--epochs", "three"], ("--epochs", "three")),
        (["train", "--batch-size", "0"], ("--batch-size",)),
        (["train", "--learning-rate", "-1"], ("--learning-rate",)),
        (["train", "--learning-rate", "nan"], ("--learning-rate", "nan")),
        (["train", "--dropout", "1"], ("--dropout",)),
        (["train", "--momentum", "1"], ("--momentum",)),
        (["train", "--init", "zeros"], ("--init", "zeros", "stable")),
        (["train", "--activation", "swish"], ("--activation", "swish", "tanh")),
        (["train", "--norm", "layer"], ("--norm", "layer", "batch")),
        (["train", "--pooling", "max"], ("--pooling", "max", "average")),
        (["train", "--precision", "int8"], ("--precision", "int8", "bfloat16")),
        (["train", "--parallelism", "pipeline"], ("--parallelism", "pipeline", "towers")),
        (["train", "--parallelism", "towers", "--recipe", "lenet"], ("two groups", "paper")),
        (["train", "--learning-rate-scaling", "square"], ("--learning-rate-scaling", "linear")),
        (["train", "--warm-up-epochs", "-1"], ("--warm-up-epochs",)),
        (["train", "--warm-up-epochs", "inf"], ("--warm-up-epochs", "inf")),
        (["train", "--devices", "0,0"], ("--devices 0,0", "once")),
        (["train", "--dataset", "~no-such-user/photos"], ("~no-such-user/photos",)),
        (["train", "--dataset", "x" * 300], ("x" * 300,)),
        (["train", "--data-dir", "/x\udcff"], ("--data-dir", "not UTF-8")),
        (["train", "--data-dir", "/x\udcff", "--seeds", "1,2"], ("--data-dir", "not UTF-8")),
        (["data", "~no-such-user/photos"], ("~no-such-user/photos",)),
        (["data", "./" + "x" * 300], ("x" * 300,)),
        (["train", "--strategy", "tpu"], ("--strategy", "tpu", "mirrored")),
        (["train", "--limit-train", "0"], ("--limit-train",)),
        (["train", "--recipe", "alexnet"], ("alexnet", "paper")),
        (["summary", "--recipe", "alexnet"], ("alexnet", "paper")),
        (["summary", "--classes", "1"], ("--classes",)),
        (["evaluate", "--split", "dev"], ("--split", "dev", "validation")),
        (["evaluate", "--run", "no-such-run"], ("no-such-run",)),
        (["evaluate", "--batch-size", "0"], ("--batch-size",)),
        (["export", "--run", "no-such-run"], ("no-such-run",)),
        (["export", "--format", "pb"], ("--format", "pb", "tflite")),
        (["export", "--quantize", "int4"], ("--quantize", "int4", "int8")),
        (["export", "--version", "0"], ("--version",)),
        (["predict"], ("IMAGE",)),
        (["predict", "no-such.jpg"], ("no-such.jpg",)),
        (["predict", "\udcb9\udcb7.jpg"], ("Error: \\xb9\\xb7.jpg: file not found",)),
        (["predict", "nothing/*.jpg"], ("nothing/*.jpg",)),
        (["predict", "--top", "0", "README.md"], ("--top",)),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, capsys):
    assert_refused(arguments, capsys, *words)


def test_evaluate_without_any_run_says_to_train(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert_refused(["evaluate"], capsys, "saved_models", "train")


def test_a_run_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert_refused(["train", "--run-dir", str(tmp_path)], capsys, str(tmp_path), "--resume")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def raising(error):
    def fail(options):
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("two\n  lines of my  photos"), 2, "Error: two lines of my  photos\n"),
        (TrainingError("the loss is nan"), 1, "Error: the loss is nan\n"),
        (FileNotFoundError(2, "No such file", "a.jpg"), 2, "Error: a.jpg: No such file\n"),
        (PermissionError(13, "Permission denied", "runs"), 2, "Error: runs: Permission denied\n"),
        (OSError(errno.ENOSPC, "No space left"), 2, "Error: No space left\n"),
        (OSError(errno.EROFS, "Read-only", "/x"), 2, "Error: /x: Read-only\n"),
        (
            KeyboardInterrupt(),
            3,
            "\nStopped. Nothing is half-written; to start again: python cli.py train\n",
        ),
    ],
)
def test_expected_errors_are_one_line(error, code, line, monkeypatch, capsys):
    monkeypatch.setattr(train_command, "check", raising(error))
    assert outcome(["train"], capsys) == (code, "", line)


SCANNING = """
import sys, time
from alexnet_tf.data import scan
def read_images(examples, pixels):
    print("scanning", file=sys.__stdout__, flush=True)
    time.sleep(60)
    yield
scan.read_images = read_images
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("words", [["data"], ["train", "--no-prepare", "--dataset"]])
def test_a_signal_stops_the_scan_of_the_data_with_code_3(words, number, tmp_path):
    for name in ("blue", "red"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(4):
            Image.new("RGB", (20, 20), name).save(tmp_path / "photos" / name / f"{index}.jpg")
    code = f"{SCANNING}\nfrom alexnet_tf.cli import main\nmain()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *words, str(tmp_path / "photos")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")},
    ) as process:
        assert process.stdout.readline() == "scanning\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "Stopped. Nothing is half-written; to start again: " in err
    assert "Traceback" not in err
    assert not (tmp_path / "saved_models").exists()


def test_file_name_that_cannot_be_encoded_is_one_line(monkeypatch, capsys):
    error = UnicodeEncodeError("utf-8", "photos/\udcb9\udcb7", 7, 9, "surrogates not allowed")
    monkeypatch.setattr(train_command, "check", raising(error))
    assert_refused(["train"], capsys, r"photos/\xb9\xb7", "UTF-8")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("ours"),
        OSError(errno.EIO, "broken disk"),
        UnicodeEncodeError("ascii", "text of ours \xe9", 13, 14, "ordinal not in range"),
    ],
)
def test_other_errors_keep_their_traceback(error, monkeypatch):
    monkeypatch.setattr(train_command, "check", raising(error))
    with pytest.raises(type(error)):
        main(["train"])


def test_a_closed_pipe_is_no_error():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "cli.py", "--help"], cwd=ROOT, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert done.stderr == b""


def strict(text):
    """Parses JSON as the standard has it: without NaN and Infinity."""

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_is_json_whatever_stdout_can_encode(encoding, monkeypatch):
    values = {"class": "猫 é", "image": "caf\udce9"}
    written = io.BytesIO()
    stdout = io.TextIOWrapper(written, encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stdout)
    echo_json(values)
    assert strict(written.getvalue()) == values
    echo_json({"loss": float("nan"), "all": [float("inf"), {"one": -float("inf")}, 1.5]})
    last = written.getvalue().decode().splitlines()[-1]
    assert strict(last) == {"loss": None, "all": [None, {"one": None}, 1.5]}
    echo_json({"class": "猫"})
    assert ("猫" in written.getvalue().decode()) == (encoding == "utf-8")


@pytest.mark.parametrize(
    ("asked", "kept"), [("strict", "backslashreplace"), ("replace", "replace")]
)
def test_stdout_escapes_what_it_cannot_encode_unless_told_otherwise(asked, kept, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8", asked))
    with pytest.raises(SystemExit):
        main(["--version"])
    assert sys.stdout.errors == kept


def test_version():
    result = CliRunner().invoke(cli, ["--version"])
    assert result.output.strip() == f"alexnet-tf, version {cli_module.__version__}"


def test_train_gets_what_was_given_zeros_included_and_nothing_else(monkeypatch, capsys):
    given = {}
    module = types.ModuleType("alexnet_tf.training.train")
    module.train = lambda **options: given.update(options)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("alexnet_tf.commands.train.import_tensorflow", lambda **_: None)
    words = "train --momentum 0 --seed 0 --weight-decay 0 --epochs 2 --quiet --devices 0,1"
    assert outcome(words.split(), capsys)[0] == 0
    assert given == {
        "momentum": 0.0,
        "seed": 0,
        "weight_decay": 0.0,
        "epochs": 2,
        "quiet": True,
        "devices": "0,1",
        "resume": False,
        "deterministic": False,
        "keep_checkpoints": False,
        "tensorboard": False,
    }


def test_summary_as_json_is_one_object_with_layers_and_totals(capsys):
    code, out, err = outcome(["summary", "--recipe", "lenet", "--json"], capsys)
    assert (code, err, out.count("\n")) == (0, "", 1)
    values = json.loads(out)
    names = {"name", "type", "output_shape", "parameters", "multiply_adds"}
    names |= {"kernel_size", "strides", "padding", "groups"}
    assert all(layer.keys() == names for layer in values["layers"])
    conv1 = next(layer for layer in values["layers"] if layer["name"] == "conv1")
    assert conv1["output_shape"] == [28, 28, 6]
    assert conv1["parameters"] == 6 * 25 + 6
    assert conv1["multiply_adds"] == 28 * 28 * 6 * 25
    assert (conv1["kernel_size"], conv1["strides"]) == ([5, 5], [1, 1])
    assert (conv1["padding"], conv1["groups"]) == ("same", 1)
    assert values["parameters"] == 61_706  # LeNet-5's, ten classes
    assert values["multiply_adds"] == sum(layer["multiply_adds"] for layer in values["layers"])
    assert values["non_trainable_parameters"] == 28 * 28  # the mean


def test_summary_is_a_table_with_totals(capsys):
    code, out, _ = outcome(["summary", "--recipe", "lenet", "--classes", "3"], capsys)
    assert code == 0
    assert "28x28x6" in out
    assert f"{61_706 - 7 * 85:,}" in out  # seven classes fewer of 84 weights and a bias


@pytest.mark.parametrize(
    ("recipe", "norm"),
    [("2012", "lrn"), ("cifar10-best", "batch"), ("torchvision", "none"), ("lenet", "batch")],
)
def test_summary_at_80_columns_breaks_no_words(recipe, norm, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = outcome(["summary", "--recipe", recipe, "--norm", norm], capsys)
    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    convolutions = get_recipe(recipe).network.convolutions
    for number, convolution in enumerate(convolutions, 1):
        (line,) = [line for line in lines if line.startswith(f"conv{number} ")]
        size = convolution.kernel_size
        assert line.split()[1] == "conv"
        assert line.split()[3:6] == [
            f"{size}x{size}/{convolution.strides}",
            str(convolution.padding),
            str(convolution.groups),
        ]
    # Each layer is one line: a title, two lines of headers, a rule, the layers, the totals.
    names = [line.split()[0] for line in lines if line[:1].isalpha()]
    assert names[-3:] == ["prob", "total", "non-trainable"]


def test_summary_takes_the_network_options_of_train(capsys):
    arguments = ["summary", "--recipe", "cifar10-small", "--json"]
    options = ["--norm", "batch", "--activation", "tanh", "--pooling", "average"]
    values = json.loads(outcome([*arguments, *options], capsys)[1])
    kinds = {layer["name"]: layer["type"] for layer in values["layers"]}
    assert kinds["norm1"] == "BatchNormalization"
    assert kinds["pool1"] == "AveragePooling2D"
    assert "tanh1" in kinds


def test_summary_shows_the_network_of_a_model_and_of_a_run(capsys, tmp_path):
    saved = ROOT / "tests" / "model" / "saved" / "lrn.keras"
    code, out, err = outcome(["summary", "--model", str(saved), "--json"], capsys)
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert values["layers"][2]["padding"] == "ceil"
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(saved, run / "last.keras")
    write_run(run, run_record(recipe=get_recipe("2012")))
    code, out, err = outcome(["summary", "--run", str(run), "--json"], capsys)
    assert (code, err, json.loads(out)) == (0, "", values)
    code, out, _ = outcome(["summary", "--run", str(run)], capsys)
    assert "3 classes" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--run", "x", "--model", "y.keras"],
            "--run and --model name two models: give one of them",
        ),
        (["--run", "x", "--norm", "batch"], "--norm cannot be combined with --run"),
        (["--model", "x.keras", "--recipe", "lenet"], "--recipe cannot be combined with --model"),
        (["--run", "no-such-run"], "no-such-run"),
        (["--model", "no-such-model.keras"], "--model no-such-model.keras not found"),
        (["--recipe", "paper", "--norm", "layer"], "--norm"),
    ],
)
def test_summary_rejects_options_that_do_not_fit(options, message, capsys):
    assert_refused(["summary", *options], capsys, message)


def test_summary_keeps_words_whole_at_80_columns():
    shapes = {"output_shape": (55, 55, 96), "parameters": 37_752_832, "multiply_adds": 10**8}
    window = {"kernel_size": (11, 11), "strides": (4, 4), "padding": "valid", "groups": 2}
    row = types.SimpleNamespace(name="norm1", type="GroupedConv2D", **shapes, **window)
    summary = types.SimpleNamespace(layers=[row], parameters=10**8, multiply_adds=10**9)
    file = io.StringIO()
    print_layers(summary, "paper", Console(file=file, width=80))
    words = file.getvalue().split()
    for word in ("conv", "parameters", "37,752,832", "1,000,000,000"):
        assert word in words
    assert max(map(len, file.getvalue().splitlines())) <= 80


@pytest.mark.parametrize(
    ("written", "meant"), [("trian", "train"), ("evalute", "evaluate"), ("import", None)]
)
def test_misspelled_command_suggests_the_right_one(written, meant, capsys):
    code, out, err = outcome([written], capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert (f"did you mean {meant}?" in err) == (meant is not None)
    assert all(name in err for name in COMMANDS)


def run_cli(*words, program=("cli.py",), before="", **variables):
    """Runs the command line in a process of its own, after `before`."""
    code = (
        f"import sys\n{before}\nsys.argv = [{program[0]!r}, *sys.argv[1:]]\n"
        "from alexnet_tf.cli import main\nmain()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        capture_output=True,
        env={**os.environ, **variables},
    )


@pytest.mark.parametrize("name", ["click", "numpy", "rich", "tensorflow", "keras"])
def test_missing_dependency_is_one_line(name):
    words = ["data", "shapes"] if name != "rich" else ["experiment", "lrn"]
    done = run_cli(*words, before=f"sys.modules[{name!r}] = None")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(f"Error: {name} is not installed for ".encode())
    assert b"pip install" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--run-dir none", "none is not a run folder"),
        ("--run-dir run --momentum 0.5", "--momentum 0.5 differs from the run's 0.9"),
        ("--run-dir run --epochs 1", "--epochs 1 is less than the 2 epochs that run has done"),
        ("--run-dir run --weights run", "--weights starts a new run"),
    ],
)
def test_options_of_resume_are_checked_before_tensorflow_is_imported(words, expected, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    write_run(run, run_record())
    history = [epoch_record(number) for number in (1, 2)]
    (run / HISTORY).write_text(history_text(history))
    before = f"import os\nos.chdir({str(tmp_path)!r})\nsys.modules['tensorflow'] = None"
    done = run_cli("train", "--resume", *words.split(), before=before, PYTHONPATH=str(ROOT))
    assert (done.returncode, done.stdout) == (2, b"")
    assert expected in done.stderr.decode() and done.stderr.count(b"\n") == 1


def test_missing_module_of_the_package_keeps_its_traceback(monkeypatch):
    error = ModuleNotFoundError("No module named 'alexnet_tf.nothing'", name="alexnet_tf.nothing")
    monkeypatch.setattr(train_command, "check", raising(error))
    with pytest.raises(ModuleNotFoundError):
        main(["train"])


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        ("/usr/bin/alexnet-tf", "alexnet-tf"),
        ("cli.py", "python cli.py"),
        ("/x/alexnet_tf/__main__.py", "python -m alexnet_tf"),
    ],
)
def test_help_names_the_command_as_it_was_called(program, shown):
    for words in ([], ["train"]):
        text = run_cli(*words, "--help", program=(program,)).stdout.decode()
        assert text.startswith(f"Usage: {shown} ")
        assert f"  {shown} train\n" in text
        assert text.count("python cli.py") == (text.count(shown) if shown == "python cli.py" else 0)


@pytest.mark.parametrize(
    "address", ["gs://bucket/x", "s3://b/x", "https://example.org/x", "hdfs://n/x", "file:///x"]
)
@pytest.mark.parametrize("name", COMMANDS)
def test_addresses_are_refused_by_every_path_option(name, address, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = cli.get_command(click.Context(cli), name)
    paths = [p for p in command.params if isinstance(p.type, (click.Path, DataSetName))]
    assert paths or name == "summary"
    others = ["x" for p in command.params if isinstance(p, click.Argument)]
    for param in paths:
        if isinstance(param.type, DataDir) and address.startswith(("gs:", "s3:")):
            continue  # TFDS reads those
        if isinstance(param, click.Argument):
            assert_refused([name, address], capsys, address, param.human_readable_name)
        else:
            words = [name, *others, param.opts[0], address]
            assert_refused(words, capsys, f"'{param.opts[0]}'", address, "not supported", "gs://")
    assert list(tmp_path.iterdir()) == []


def test_every_option_that_takes_a_file_is_a_checked_path():
    for name in COMMANDS:
        for param in cli.get_command(click.Context(cli), name).params:
            taken = (param.metavar or "") + " " + (getattr(param, "help", None) or "")
            if re.search(r"\b(folder|file|PATH)\b|\.keras|\.png", taken) and not isinstance(
                param.type, (click.Choice, click.IntRange, click.types.BoolParamType)
            ):
                assert isinstance(param.type, (UserPath, DataSetName)), (name, param.name)


def test_an_address_in_tfds_data_dir_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", "hdfs://bucket/tfds")
    assert_refused(["data", "cifar10"], capsys, "TFDS_DATA_DIR", "hdfs://bucket/tfds")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("locale", ["ascii", "latin-1", "gbk"])
def test_output_in_any_encoding_has_no_traceback_and_no_escaped_drawing(locale, tmp_path):
    for name in ("\u732b", "caf\u00e9"):
        (tmp_path / name).mkdir()
        for number in range(4):
            color = (50 * number, 9, 9)
            Image.new("RGB", (40, 40), color).save(tmp_path / name / f"{number}.png")
    variables = {"PYTHONIOENCODING": locale, "COLUMNS": "80"}
    done = run_cli("data", str(tmp_path), "--picture", str(tmp_path / "p.png"), **variables)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode(locale)
    assert "\\u25" not in text and "\\u2026" not in text
    shown = {"ascii": ("\\u732b", "caf\\xe9"), "latin-1": ("\\u732b", "caf\u00e9")}
    assert all(name in text for name in shown.get(locale, ("\u732b", "caf\u00e9")))
    assert ("\u2588" in text) == (locale == "gbk")
    assert ("###" in text) == (locale != "gbk")


@pytest.mark.parametrize("words", [["bench", "--help"], ["experiment", "list"], ["summary"]])
def test_a_c_locale_without_utf_8_mode_has_no_traceback(words):
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run_cli(*words, **variables)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
