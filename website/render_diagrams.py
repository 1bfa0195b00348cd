"""Renders the Mermaid diagrams of docs/ as SVG files for the site.

    npm pack mermaid && tar xf mermaid-*.tgz package/dist/mermaid.min.js
    python website/render_diagrams.py package/dist/mermaid.min.js --chromium /usr/bin/chromium

Needs playwright (`pip install -e '.[browser]'`). Run it after a diagram has changed, and look at
the pictures.
"""

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

from website.hooks import DIAGRAMS, ROOT, diagram_name, diagrams

_OPTIONS = """{
  startOnLoad: false, theme: 'default', fontFamily: 'sans-serif', flowchart: {htmlLabels: false}
}"""


def main() -> None:
    """Renders every diagram, and deletes the pictures of former ones."""
    parser = argparse.ArgumentParser(description="Renders the Mermaid diagrams of docs/.")
    parser.add_argument("mermaid", help="mermaid.min.js of Mermaid's npm package")
    parser.add_argument("--chromium", help="the browser; without it: playwright's own")
    arguments = parser.parse_args()
    folder = ROOT / "docs" / DIAGRAMS
    folder.mkdir(parents=True, exist_ok=True)
    texts = {diagram_name(text): text for text in diagrams(ROOT / "docs")}
    for path in folder.glob("*.svg"):
        if path.name not in texts:
            path.unlink()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.set_content("<html><body></body></html>")
        page.add_script_tag(path=arguments.mermaid)
        page.evaluate(f"mermaid.initialize({_OPTIONS})")
        for number, (name, text) in enumerate(texts.items()):
            svg = page.evaluate(
                "async ([id, text]) => (await mermaid.render(id, text)).svg",
                [f"diagram{number}", text],
            )
            (folder / name).write_text(svg, encoding="utf-8")
            print(Path(DIAGRAMS) / name)
        browser.close()


if __name__ == "__main__":
    main()
