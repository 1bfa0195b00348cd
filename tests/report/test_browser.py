"""The report in a real headless Chromium, at the width of a desktop and of a phone."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture
def shown(browser, made):
    """Opens the page at a width, in a color scheme; fails on any request and console message."""
    contexts, noises = [], []

    def show(width, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: noises.append(message.text))
        page.on("pageerror", lambda error: noises.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith(("data:", "file:")) else noises.append(request.url)
            ),
        )
        page.goto(Path(made["report"]).absolute().as_uri())
        return page

    yield show
    for context in contexts:
        context.close()
    assert noises == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_images_load_and_nothing_overflows(shown, width, scheme):
    page = shown(width, scheme)
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.alt)"
    assert page.evaluate(broken) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Wider elements scroll inside their own box.
    outside = """[...document.querySelectorAll('body *')].filter(e => {
        const box = e.getBoundingClientRect();
        return box.width && !e.closest('.scroll, .skip, .hidden') && box.right > innerWidth + 1;
    }).map(e => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(outside) == []


def test_dark_mode_darkens_the_page_and_its_charts(shown):
    found = {}
    for scheme in ("light", "dark"):
        page = shown(1280, scheme)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        found[scheme] = [int(n) for n in background[4:-1].split(",")]
        found[f"{scheme} charts"] = page.evaluate(
            "[...document.querySelectorAll('picture img')].map(i => i.currentSrc)"
        )
    assert min(found["light"]) > 200 > 60 > max(found["dark"])
    pairs = zip(found["light charts"], found["dark charts"], strict=True)
    assert all(light != dark for light, dark in pairs)


def test_page_is_navigable_by_keyboard(shown):
    page = shown(1280)
    focused = "document.activeElement.getAttribute('href') || document.activeElement.className"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "#numbers"  # the skip link
    box = page.evaluate("document.activeElement.getBoundingClientRect().toJSON()")
    assert box["left"] >= 0  # visible when focused
    order = []
    for _ in range(40):
        page.keyboard.press("Tab")
        order.append(page.evaluate(focused))
    links = page.evaluate(
        "[...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))"
    )
    assert order[: len(links)] == links
    assert "scroll" in order  # wide tables and figures can be scrolled
    page.keyboard.press("Tab")
    page.locator("nav a").last.press("Enter")
    assert page.evaluate("location.hash") == links[-1]
