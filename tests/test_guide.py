"""The documents name what exists: options, files, functions, packages and links."""

import ast
import itertools
import math
import re
from pathlib import Path

import pytest
import yaml

from alexnet_tf import __version__, paper
from alexnet_tf.network_settings import ACTIVATIONS, NORMS, POOLINGS
from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import INITS, NETWORK_OVERRIDES

ROOT = Path(__file__).parents[1]
DOCS, PACKAGE = ROOT / "docs", ROOT / "alexnet_tf"
GUIDES = ("guide.md", "guide.zh-CN.md")


def read(name):
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", GUIDES)
def test_every_init_and_every_choice_of_a_network_is_in_it(name):
    table = re.findall(r"^\| (`.*?) \|", read(name), re.MULTILINE)
    rows = [init for cell in table for init in re.findall(r"`([\w-]+)`", cell)]
    assert sorted(i for i in rows if i in INITS) == sorted(INITS)
    for option in NETWORK_OVERRIDES:
        assert f"--{option}" in read(name)
    for choice in (*ACTIVATIONS, *NORMS, *POOLINGS):
        assert re.search(rf"\b{choice}\b", read(name), re.ASCII), choice


def test_both_have_the_same_code():
    code = r"```(?!mermaid)\w+\n.*?```"
    blocks = [re.findall(code, read(name), re.DOTALL) for name in GUIDES]
    assert blocks[0] == blocks[1]
    assert len(blocks[0]) >= 2


def test_both_readmes_have_the_same_commands_and_numbers():
    texts = [(ROOT / f"README{end}.md").read_text(encoding="utf-8") for end in ("", ".zh-CN")]
    blocks = [re.findall(r"```\w+\n(.*?)```", text, re.DOTALL) for text in texts]
    commands = [[re.sub(r"\s*#.*", "", block) for block in each] for each in blocks]
    assert commands[0] == commands[1]
    assert len(commands[0]) >= 10
    tables = [[numbers(row) for row in re.findall(r"^\|.*", text, re.M)] for text in texts]
    assert tables[0] == tables[1]


def test_changelog_has_the_version_and_what_is_unreleased():
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert headings[:2] == ["Unreleased", __version__]


def test_citation_and_images_of_kubernetes_name_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == __version__
    for name in ("tfjob.yaml", "training-job.yaml"):
        images = re.findall(
            r"image: \S+/alexnet-tf:(\S+)", (ROOT / "deploy" / name).read_text("utf-8")
        )
        assert images == [__version__]


PAGES = [
    *(page for page in ROOT.glob("*.md")),
    *(page for page in DOCS.rglob("*.md")),
]


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_every_page_exist(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
    for link in links:
        if re.match(r"https?:", link):
            continue
        target, _, place = link.partition("#")
        found = page.parent / target if target else page
        assert found.exists(), link
        assert not place or place in anchors(found), link


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_paths_and_functions_of_a_page_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    paths = re.findall(r"`((?:alexnet_tf|tests|benchmarks|docs|deploy)/[\w./-]*)`", text)
    assert len(paths) >= 10
    for path in paths:
        assert (ROOT / path).exists(), path
    named = re.findall(r"`(alexnet_tf/[\w/]+\.py)`:\s`(\w+)`", text)
    for path, name in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^(def|class) {name}\b", source, re.MULTILINE), (path, name)


def package_imports():
    """Pairs of different packages of which the first imports the second; "base" for modules."""
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    pairs = set()
    for path in PACKAGE.glob("*/**/*.py"):
        importer = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.module.startswith("alexnet_tf"):
                continue
            parts = node.module.split(".")
            names = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
            pairs |= {(importer, name if name in packages else "base") for name in names}
    return {(importer, imported) for importer, imported in pairs if importer != imported}


def test_diagram_of_packages_shows_the_imports():
    text = read("architecture.md").split("```mermaid")[1].split("```")[0]
    drawn = re.findall(r"^  (\w+)(?:\[.*\])? --> (.+)$", text, re.MULTILINE)
    edges = {(start, end) for start, ends in drawn for end in ends.split(" & ")} - {
        ("cli", "commands")  # which are imported by name when they are needed
    }
    imports = package_imports()
    assert edges <= imports
    assert {pair[0] for pair in edges} == {pair[0] for pair in imports}
    reached = set(edges)
    while more := {(a, d) for a, b in reached for c, d in edges if b == c} - reached:
        reached |= more
    assert imports <= reached
    assert not {(b, a) for a, b in reached} & reached  # one way


RECIPE = get_recipe("paper")
CONVOLUTIONS = RECIPE.network.convolutions
KERNELS = [convolution.filters for convolution in CONVOLUTIONS]


def pooled(pixels):
    """Completes windows of the paper's pooling."""
    return (pixels - paper.POOL_SIZE) // paper.POOL_STRIDE + 1


CONV1_PIXELS = 1 + math.ceil((paper.INPUT_PIXELS - 11) / 4)
WIDTHS = [CONV1_PIXELS, pooled(CONV1_PIXELS), pooled(pooled(CONV1_PIXELS))]
LAST_PIXELS = pooled(WIDTHS[-1])
FC6_INPUTS = LAST_PIXELS**2 * KERNELS[-1]
FC6 = (FC6_INPUTS + 1) * paper.HIDDEN_UNITS[0]
CONV4 = (3 * 3 * KERNELS[2] // CONVOLUTIONS[3].groups + 1) * KERNELS[3]
CONV2 = KERNELS[1] * 5 * 5 * KERNELS[0]
DENSE = sum(
    inputs * units
    for inputs, units in itertools.pairwise((FC6_INPUTS, *paper.HIDDEN_UNITS, paper.CLASSES))
)
DENSE_BIASES = sum(paper.HIDDEN_UNITS) + paper.CLASSES
MARGIN = paper.RESIZED_PIXELS - paper.INPUT_PIXELS
STEP = paper.WEIGHT_DECAY * paper.LEARNING_RATE * 1 + paper.LEARNING_RATE * 2
LAST_RATE = paper.LEARNING_RATE * RECIPE.schedule.factor**RECIPE.schedule.reductions
# The numbers in each question, its right option and the reason; results are the paper's own.
QUIZ = {
    "§2": [{512, 384, 256, round(512 * 256 / 384)}, {256, paper.INPUT_PIXELS}, set()],
    "§3.1": [{1}, {0, 1}],
    "§3.2": [
        set(),
        {KERNELS[1], 5, KERNELS[0] // 2, KERNELS[0], CONV2, CONV2 // CONVOLUTIONS[1].groups},
        {1.7, 1.2},
    ],
    "§3.3": [
        {paper.LRN_N, paper.LRN_N // 2},
        {RECIPE.network.lrn_depth_radius, 1, paper.LRN_N},
        {paper.LRN_N, paper.LRN_ALPHA, paper.LRN_ALPHA * paper.LRN_N},
    ],
    "§3.4": [
        {*WIDTHS, LAST_PIXELS, 1, paper.POOL_SIZE, paper.POOL_STRIDE},
        {paper.POOL_SIZE, paper.POOL_STRIDE},
    ],
    "§3.5": [
        {FC6, paper.PARAMETERS, FC6_INPUTS, LAST_PIXELS, KERNELS[-1], paper.HIDDEN_UNITS[0]},
        {round(100 - 100 * DENSE / paper.MULTIPLY_ADDS)},
        {KERNELS[0], CONVOLUTIONS[0].kernel_size, 3, (11 * 11 * 3 + 1) * KERNELS[0]},
    ],
    "§4.1": [
        {0, MARGIN, 2, MARGIN**2 * 2, MARGIN + 1, (MARGIN + 1) ** 2 * 2},
        {paper.LIGHTING_STD},
        set(),
    ],
    "§4.2": [{paper.DROPOUT_RATE}, {paper.DROPOUT_RATE}],
    "§5": [
        {0, 1, 2, paper.LEARNING_RATE, paper.MOMENTUM, paper.WEIGHT_DECAY, STEP, 1 - STEP},
        {paper.WEIGHT_DECAY, 2, paper.WEIGHT_DECAY / 2},
        {paper.LEARNING_RATE, round(1 / RECIPE.schedule.factor), LAST_RATE},
    ],
    "§6": [{1.5, 39.0, 37.5, 18.3, 17.0}, {18.2, 16.4}, {15.3, 26.2, 7, 2011}],
    "§7": [{2}, {CONV4, paper.PARAMETERS, round(100 * CONV4 / paper.PARAMETERS, 1)}],
}
SUMMARY = {
    *(paper.CLASSES, paper.RESIZED_PIXELS, paper.INPUT_PIXELS, paper.PARAMETERS),
    *(paper.LRN_N, paper.LRN_K, paper.LRN_ALPHA, paper.LRN_BETA),
    *(paper.POOL_SIZE, paper.POOL_STRIDE, *KERNELS, *paper.HIDDEN_UNITS),
    *(paper.DROPOUT_RATE, paper.BATCH_SIZE, paper.MOMENTUM, paper.WEIGHT_DECAY),
    *(paper.LEARNING_RATE, round(1 / RECIPE.schedule.factor), paper.EPOCHS),
    round(100 - 100 * DENSE / paper.MULTIPLY_ADDS),
    round(100 * (DENSE + DENSE_BIASES) / paper.PARAMETERS),
    *(25, 3, 0.4, 37.5, 17.0, 15.3, 26.2, 2),
}
INTERVIEW = {
    *(paper.INPUT_PIXELS, get_recipe("caffe").network.input_size, 11, 4, 1),
    *(CONV1_PIXELS, CONV1_PIXELS - 1, (paper.INPUT_PIXELS - 11) / 4 + 1),
    (CONV1_PIXELS - 1) * 4 + 11 - paper.INPUT_PIXELS,
    *(paper.PARAMETERS, round(4 * paper.PARAMETERS / 1e6)),
    *(LAST_PIXELS, KERNELS[-1], paper.HIDDEN_UNITS[0], FC6, paper.MOMENTUM),
    *(paper.CLASSES, round(math.log(paper.CLASSES), 2), 6.9),
}
CHAPTERS = {
    "guide.md": ("Summary on one page", "Mind map", "Quiz", "Interview questions"),
    "guide.zh-CN.md": ("一页总结", "思维导图", "测验", "面试题"),
}
QUESTION = re.compile(
    r"\*\*(?:Question|第) (\d+)(?:\.| 题。)\*\* (.+?)\n\n- A\. (.+?)\n- B\. (.+?)\n- C\. (.+?)\n\n"
    r"<details><summary>(?:Answer|答案)</summary>\n\n\*\*([ABC])[.。]\*\* (.+?)\n</details>",
    re.DOTALL,
)


def chapter(name, title):
    """The text of a chapter of a guide."""
    return read(name).split(f"\n## {title}\n")[1].split("\n## ")[0]


def numbers(text):
    """The numbers in a text, except those of names, data sets, figures and top-k."""
    names = r"`[^`]*`|§[\d.]+|[Ff]igure \d+|图 \d+|ILSVRC-\d+|\b2012\b|top-\d"
    found = re.findall(r"(?<![A-Za-z\d.])\d+(?:,\d{3})*(?:\.\d+)?", re.sub(names, " ", text))
    return [float(number.replace(",", "")) for number in found]


def quiz(name):
    """The questions by section: number, question, three options, letter, reason."""
    parts = re.split(r"^### \S+ (§[\d.]+)[^\n]*\n", chapter(name, CHAPTERS[name][2]), flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert all(text.count("<details>") == len(QUESTION.findall(text)) for text in sections.values())
    return {section: QUESTION.findall(text) for section, text in sections.items()}


@pytest.mark.parametrize("name", GUIDES)
def test_quiz_has_the_right_answers(name):
    found = quiz(name)
    assert list(found) == list(QUIZ)
    for section, questions in found.items():
        for entry, expected in zip(questions, QUIZ[section], strict=True):
            _, question, *options, letter, reason = entry
            assert len(set(options)) == 3
            text = f"{question} {options['ABC'.index(letter)]} {reason}"
            assert sorted(set(numbers(text))) == pytest.approx(sorted(map(float, expected))), entry


def test_quiz_is_the_same_in_both_languages():
    for section, questions in quiz("guide.md").items():
        for one, other in zip(questions, quiz("guide.zh-CN.md")[section], strict=True):
            assert (one[0], one[5]) == (other[0], other[5])
            for a, b in zip(one, other, strict=True):
                assert sorted(numbers(a)) == sorted(numbers(b)), (a, b)


@pytest.mark.parametrize("name", GUIDES)
@pytest.mark.parametrize(("title", "expected"), [(0, SUMMARY), (3, INTERVIEW)])
def test_numbers_of_the_summary_and_the_interview_are_known(name, title, expected):
    found = set(numbers(chapter(name, CHAPTERS[name][title])))
    assert sorted(found) == pytest.approx(sorted(map(float, expected)))


def test_mind_map_has_the_same_branches_in_both_languages():
    maps = [chapter(name, CHAPTERS[name][1]).split("```")[1].splitlines() for name in GUIDES]
    indents = [[len(line) - len(line.lstrip()) for line in lines] for lines in maps]
    assert indents[0] == indents[1]
    assert len(indents[0]) > 20


@pytest.mark.parametrize("name", GUIDES)
def test_every_interview_question_has_an_answer(name):
    text = chapter(name, CHAPTERS[name][3])
    found = re.findall(r"<details><summary>(.+?)</summary>\n\n(.+?)\n</details>", text, re.DOTALL)
    assert len(found) == text.count("<details>") >= 8
    assert all(len(answer) > 40 for _, answer in found)
