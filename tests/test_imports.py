"""Imports go one way, are declared, and none is made before it is needed."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "alexnet_tf"
SUPPORT = ROOT / "tests" / "support"  # modules that several folders of tests import

# Each part may import from its own layer's rank downwards, but not sideways.
RANKS = {
    "paper": 0,
    "errors": 0,
    "settings": 0,
    "network_settings": 0,
    "options": 0,
    "train_options": 0,
    "run_record": 0,
    "architectures": 0,
    "recipes": 0,
    "files": 0,
    "runs": 0,
    "imagenet": 0,
    "system": 0,
    "console": 0,
    "data": 1,
    "model": 1,
    "prepare": 2,
    "figures": 2,
    "evaluation": 3,
    "training": 4,
    "export": 4,
    "bench": 5,
    "report": 5,
    "demo": 5,
    "experiments": 5,
    "commands": 6,
    "cli": 7,
    "__main__": 8,
}


def part_of(module):
    """The first name below the package: "data" for alexnet_tf.data.images."""
    return module.split(".")[1] if "." in module else None


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "alexnet_tf":
                yield from (f"alexnet_tf.{a.name}" for a in node.names if a.name in RANKS)


def is_allowed(importer, imported):
    if importer == imported:
        return True
    if RANKS[importer] == RANKS[imported] == 0:
        return True
    return RANKS[imported] < RANKS[importer]


def test_every_part_has_a_rank():
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()}
    assert parts - {"__init__"} <= set(RANKS)


def test_imports_go_one_way():
    wrong = []
    for path in modules():
        importer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if importer == "__init__":
            continue
        for module in imports(path):
            imported = part_of(module) if module.startswith("alexnet_tf") else None
            if imported and not is_allowed(importer, imported):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_a_sideways_or_upward_import_would_be_found():
    assert not is_allowed("data", "model")
    assert not is_allowed("model", "training")
    assert is_allowed("training", "evaluation")


EXTRAS = ("demo", "export", "onnx", "tensorboard")  # imported only where they are needed


def declared(*groups):
    """The distributions that pyproject.toml declares, by normalized name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = list(project["dependencies"])
    for group in groups:
        texts += project["optional-dependencies"][group]
    return {re.split(r"[^\w.-]", text)[0].lower().replace("_", "-") for text in texts}


@pytest.mark.parametrize(
    ("folder", "groups"), [("alexnet_tf", EXTRAS), ("tests", ("test", "benchmarks", *EXTRAS))]
)
def test_everything_imported_is_declared(folder, groups):
    known, owners = declared(*groups), packages_distributions()
    missing = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for module in imports(path):
            top = module.split(".")[0]
            if top in sys.stdlib_module_names or top in ("alexnet_tf", "tests"):
                continue
            if any((root / f"{top}.py").is_file() for root in (path.parent, SUPPORT)):
                continue
            names = {name.lower().replace("_", "-") for name in owners.get(top, [top])}
            if not names & known:
                missing[top] = str(path.relative_to(ROOT))
    assert not missing


def run(code):
    """Runs code in a fresh interpreter and returns what it printed."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_and_recipes_imports_no_tensorflow():
    code = (
        "import sys, alexnet_tf, alexnet_tf.recipes, alexnet_tf.runs, alexnet_tf.files; "
        "dir(alexnet_tf); alexnet_tf.get_recipe('paper'); "
        "print([m for m in ('tensorflow', 'keras', 'numpy') if m in sys.modules])"
    )
    assert run(code).strip() == "[]"


def test_tensorflow_is_imported_in_silence_and_every_public_name_is_there():
    code = (
        "import sys\n"
        "from alexnet_tf.system import import_tensorflow\n"
        "import_tensorflow()\n"
        "print('imported', flush=True, file=sys.stderr)\n"
        "import alexnet_tf as an\n"
        "missing = [name for name in an.__all__ if not hasattr(an, name)]\n"
        "print(missing, callable(an.train), callable(an.evaluate))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[] True True\n")
    assert done.stderr.startswith("imported\n")
