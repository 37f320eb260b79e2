"""Pages in a real browser: what is drawn, what is asked for, what overflows, and what the keyboard reaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.training.config import RunConfig
from gradwire.deploy.in_process.run import train
from gradwire.deploy.report.html import page
from gradwire.deploy.report.sources import documents_of
from gradwire.deploy.report.svg import chart_svg
from tests.browser import Tab, browser, tab
from tests.deploy.report.samples import CHARTS, DOCUMENT

PROGRAM = browser()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: NOT TESTED in a browser"),
]
WINDOWS = {"phone": 360, "tablet": 768, "desktop": 1280}
MODES = {"light": {}, "dark": {"dark": True}, "paper": {"media": "print"}}

# Elements whose box ends beyond the window, those in a container that scrolls apart.
OVERFLOWING = """
[...document.querySelectorAll('body *')].filter(e => {
  if (e.closest('.scroll') || e.closest('svg') || !e.checkVisibility() || e.matches('.skip')) return false;
  const box = e.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map(e => e.tagName + ' ' + e.textContent.slice(0, 60))
"""
# Text of visible pictures beyond their border, and text that is cut by its own element.
CUT = """
[...document.querySelectorAll('svg.chart text')].filter(t => {
  if (!t.checkVisibility()) return false;
  const a = t.getBoundingClientRect(), b = t.ownerSVGElement.getBoundingClientRect();
  return a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 || a.bottom > b.bottom + 1;
}).map(t => t.textContent).concat(
[...document.querySelectorAll('h1, h2, h3, p, dd, dt, figcaption, summary, nav a')].filter(
  e => e.checkVisibility() && !e.matches('.skip') && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0
).map(e => e.textContent))
"""
PICTURES = """
[...document.querySelectorAll('svg.chart')].filter(
  s => s.checkVisibility() && s.getBoundingClientRect().height > 80).length
"""
CHARTS_ON_PAGE = "document.querySelectorAll('.charts figure').length"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    config = RunConfig(task="softmax(digits)", codec="cross_polytope(repeats=20)", rounds=8, evaluate_every=2)
    private = replace(config, codec="private(rr(2.0), cross_polytope)", max_epsilon=60.0, report_metrics=True)
    for name, each in (("<img src=x onerror=throw>", config), ("private", private)):
        train(each, processes=2, state_dir=folder / name)
    runs = sorted(path for path in folder.iterdir() if path.is_dir())
    documents = {"one run": documents_of(runs[:1]), "runs": documents_of(runs), "charts": [DOCUMENT]}
    documents["several"] = [*documents["runs"], DOCUMENT]
    written = {}
    for name, found in documents.items():
        written[name] = folder / f"{name}.html"
        written[name].write_text(page(found), encoding="utf-8")
    return written


@pytest.fixture(scope="module")
def open_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    assert PROGRAM is not None
    with tab(PROGRAM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def background(opened: Tab) -> list[int]:
    found = opened.value("getComputedStyle(document.body).backgroundColor")
    return [int(part) for part in found.removeprefix("rgb(").removesuffix(")").split(",")]


@pytest.mark.parametrize(("window", "mode"), list(product(WINDOWS, MODES)))
def test_pages_fit_are_silent_and_ask_for_nothing(
    window: str, mode: str, pages: dict[str, Path], open_tab: Tab
) -> None:
    for name, path in pages.items():
        settings: dict[str, Any] = MODES[mode]
        open_tab.open(path, width=WINDOWS[window], **settings)
        assert open_tab.complaints() == [], name
        assert open_tab.requests() == [path.absolute().as_uri()], name
        assert open_tab.value("document.documentElement.scrollWidth <= innerWidth"), name
        assert open_tab.value(OVERFLOWING) == [], name
        assert open_tab.value(CUT) == [], name
        drawn, expected = open_tab.value(PICTURES), open_tab.value(CHARTS_ON_PAGE)
        assert drawn == expected > 4, name
        assert (sum(background(open_tab)) < 150) is (mode == "dark"), name


def test_the_numbers_of_a_chart_open_and_fit(pages: dict[str, Path], open_tab: Tab) -> None:
    open_tab.open(pages["several"], width=360)
    open_tab.value("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert open_tab.value("document.querySelectorAll('details table').length") > 10
    assert open_tab.value("document.documentElement.scrollWidth") == 360
    assert open_tab.value(OVERFLOWING) == []


def test_the_keyboard_reaches_everything(pages: dict[str, Path], open_tab: Tab) -> None:
    open_tab.open(pages["one run"], width=1280)
    expected = open_tab.value(
        "[...document.querySelectorAll('a, summary, [tabindex=\"0\"]')].filter(e => e.checkVisibility()"
        " && !e.closest('details:not([open])') || e.tagName == 'SUMMARY').length"
    )
    open_tab.press("Tab")
    assert open_tab.value("document.activeElement.className") == "skip"
    assert open_tab.value("document.activeElement.getBoundingClientRect().left") >= 0, (
        "shown while it has the focus"
    )
    seen = []
    for _ in range(expected - 1):
        open_tab.press("Tab")
        seen.append(open_tab.value("document.activeElement.tagName + '.' + document.activeElement.className"))
    assert seen.count("SUMMARY.") == open_tab.value("document.querySelectorAll('summary').length")
    assert seen.count("DIV.scroll") == open_tab.value("document.querySelectorAll('.tabular .scroll').length")
    assert "BODY." not in seen


def test_a_summary_opens_by_the_keyboard_and_shows_its_focus(pages: dict[str, Path], open_tab: Tab) -> None:
    open_tab.open(pages["charts"], width=1280)
    open_tab.press("Tab")
    assert open_tab.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    open_tab.value("document.querySelector('summary').focus()")
    open_tab.press("Enter")
    assert open_tab.value("document.querySelector('details').open")


def test_pictures_have_names_for_screen_readers(pages: dict[str, Path], open_tab: Tab) -> None:
    open_tab.open(pages["runs"], width=1280)
    nodes = open_tab.call("Accessibility.getFullAXTree")["nodes"]
    images = [
        node
        for node in nodes
        if node.get("role", {}).get("value") in ("image", "img") and not node["ignored"]
    ]
    names = [node["name"]["value"] for node in images]
    assert len(names) == open_tab.value(CHARTS_ON_PAGE) and all("orizontal" in name for name in names)
    tables = [node for node in nodes if node.get("role", {}).get("value") == "table" and not node["ignored"]]
    assert tables and all(node["name"]["value"] for node in tables)


@pytest.mark.parametrize("name", CHARTS)
def test_a_picture_on_its_own_is_drawn_within_its_border(name: str, tmp_path: Path, open_tab: Tab) -> None:
    path = tmp_path / f"{name}.svg"
    path.write_text(chart_svg(CHARTS[name], standalone=True), encoding="utf-8")
    for dark in (False, True):
        open_tab.open(path, width=1280, dark=dark)
        assert open_tab.complaints() == [] and open_tab.requests() == [path.absolute().as_uri()]
        assert open_tab.value(CUT) == []
        paper = open_tab.value("getComputedStyle(document.querySelector('.paper')).fill")
        assert paper == ("rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)")
