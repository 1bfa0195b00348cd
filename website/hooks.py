"""Builds the pages of the site that have their source elsewhere in the repository.

The two READMEs, CONTRIBUTING.md, CHANGELOG.md and deploy/README.md become pages, the Python
reference lists the public names of the package, and Mermaid diagrams are replaced by pictures that
`render_diagrams.py` made, so that the site loads nothing from other servers.
"""

import hashlib
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import alexnet_tf

ROOT = Path(__file__).resolve().parent.parent
# {page of the site: its source in the repository}
PAGES = {
    "index.md": "README.md",
    "index.zh-CN.md": "README.zh-CN.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "deployment.md": "deploy/README.md",
}
DIAGRAMS = "pictures/diagrams"
_MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")
_IMAGE = re.compile(r"(<img src=\")([^\":]+)")
_PYTHON_HEAD = """# Python reference

`import alexnet_tf as an` gives these names. They are loaded when first used: the import itself does
not import TensorFlow. Examples also use `import numpy as np`.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    names = "".join(
        f"\n::: {module}.{name}\n" for name, module in sorted(alexnet_tf.PUBLIC_NAMES.items())
    )
    content = _PYTHON_HEAD + names
    files.append(File.generated(config, "reference/python.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replaces diagrams by pictures, and rewrites links for the site."""
    here = page.file.src_uri
    source = PAGES.get(here, f"docs/{here}")

    def link(match: re.Match[str]) -> str:
        mark, text, target, anchor = match.groups()
        on_site = _page_of(target, source, here, files)
        if on_site is None:  # a file that is not part of the site
            return text if _path(target, source).exists() else match[0]
        return f"{mark}[{text}]({on_site}{anchor or ''})"

    def image(match: re.Match[str]) -> str:
        return f"{match[1]}{_page_of(match[2], source, here, files) or match[2]}"

    markdown = _MERMAID.sub(lambda match: _picture(match[1], here), markdown)
    return _IMAGE.sub(image, _LINK.sub(link, markdown))


def diagram_name(diagram: str) -> str:
    """Returns the file name of a diagram's picture, from its text."""
    return f"{hashlib.sha256(diagram.encode()).hexdigest()[:12]}.svg"


def diagrams(folder: Path) -> list[str]:
    """Returns the Mermaid diagrams in the Markdown files of a folder."""
    files = sorted(folder.rglob("*.md"))
    return [match[1] for file in files for match in _MERMAID.finditer(file.read_text("utf-8"))]


def _picture(diagram: str, page: str) -> str:
    name = f"{DIAGRAMS}/{diagram_name(diagram)}"
    if not (ROOT / "docs" / name).is_file():
        raise PluginError(f"{page}: a diagram has no picture: run website/render_diagrams.py")
    return f"![Diagram]({posixpath.relpath(name, posixpath.dirname(page) or '.')})"


def _path(target: str, source: str) -> Path:
    """Returns the file in the repository that a link in `source` points to."""
    return ROOT / posixpath.normpath(posixpath.join(posixpath.dirname(source), target))


def _page_of(target: str, source: str, page: str, files: Files) -> str | None:
    """Returns the link on a page of the site to a file of the repository; None if it has none."""
    path = _path(target, source)
    name = (path / "README.md" if path.is_dir() else path).relative_to(ROOT).as_posix()
    pages = {original: generated for generated, original in PAGES.items()}
    name = pages.get(name, name.removeprefix("docs/"))
    if files.get_file_from_path(name) is None:
        return None
    return posixpath.relpath(name, posixpath.dirname(page) or ".")
