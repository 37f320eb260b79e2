"""Charts as SVG: well-formed, complete, within their borders, and the same each time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.deploy.report.document import BARS, LINE, POINTS, STYLES, Chart, Series
from gradwire.deploy.report.letters import width_of
from gradwire.deploy.report.svg import chart_svg, describe
from tests.deploy.report.samples import BANDS, CHARTS, CURVES, HOLES, LYING, NAMED, NASTY, NEGATIVE, UPRIGHT

SVG = "{http://www.w3.org/2000/svg}"
WIDTHS = (240, 328, 640, 1200)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def parsed(chart: Chart, *, standalone: bool = False, width: float = 640) -> ElementTree.Element:
    return ElementTree.fromstring(chart_svg(chart, standalone=standalone, width=width))


def texts(svg: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in svg.iter(f"{SVG}text")]


def marks(svg: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [element for element in svg.iter(f"{SVG}path") if element.get("class") == kind]


def box(svg: ElementTree.Element) -> tuple[float, float]:
    x, y, width, height = map(float, (svg.get("viewBox") or "").split())
    assert (x, y) == (0, 0)
    return width, height


def spans(svg: ElementTree.Element) -> Iterator[tuple[float, float, float, str]]:
    """Left, right, baseline and text of every text, by the upper bound of its width."""
    moved = svg.find(f"{SVG}g[@transform]")
    by = float(NUMBER.findall(moved.get("transform") or "")[0]) if moved is not None else 0.0
    for element in svg.iter(f"{SVG}text"):
        text, size = element.text or "", float(element.get("font-size") or svg.get("font-size") or 0)
        x, y, width = (
            by + float(element.get("x") or 0),
            by + float(element.get("y") or 0),
            width_of(text, size),
        )
        left = {"end": x - width, "middle": x - width / 2}.get(element.get("text-anchor") or "", x)
        yield left, left + width, y, text


def check_within(svg: ElementTree.Element) -> None:
    width, height = box(svg)
    for left, right, y, text in spans(svg):
        assert left >= -0.1 and right <= width + 0.1, f"{text!r} from {left} to {right} of {width}"
        assert 0 < y <= height, f"{text!r} at {y} of {height}"
    for path in svg.iter(f"{SVG}path"):
        numbers = [float(number) for number in NUMBER.findall(path.get("d") or "")]
        assert all(-8 <= number <= max(width, height) for number in numbers)


@pytest.mark.parametrize("standalone", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", CHARTS)
def test_nothing_leaves_the_picture(name: str, width: float, standalone: bool) -> None:
    svg = parsed(CHARTS[name], standalone=standalone, width=width)
    assert box(svg)[0] == width
    check_within(svg)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", CHARTS)
def test_no_two_texts_of_a_line_overlap(name: str, width: float) -> None:
    found = sorted(spans(parsed(CHARTS[name], width=width)), key=lambda span: (span[2], span[0]))
    for (_, right, y, text), (left, _, below, other) in pairwise(found):
        assert y != below or left >= right - 0.1, f"{text!r} runs into {other!r}"


@pytest.mark.parametrize("name", CHARTS)
def test_the_same_chart_gives_the_same_bytes(name: str) -> None:
    chart = CHARTS[name]
    again = replace(chart, series=[replace(series) for series in chart.series])
    for standalone in (False, True):
        assert chart_svg(chart, standalone=standalone) == chart_svg(again, standalone=standalone)


@pytest.mark.parametrize("name", CHARTS)
def test_every_series_is_in_the_legend_and_in_the_picture(name: str) -> None:
    chart = CHARTS[name]
    svg = parsed(chart, width=1200)
    shown = texts(svg)
    groups = [group.get("class") for group in svg.iter(f"{SVG}g")]
    for number, series in enumerate(chart.series):
        assert series is NAMED.series[0] or series.name in shown
        assert groups.count(f"c{number % 8}") >= 2, "one in the legend, one with its marks"


def test_a_title_and_a_description_for_screen_readers() -> None:
    svg = ElementTree.fromstring(chart_svg(CURVES, standalone=False, key="k7"))
    assert svg.get("role") == "img"
    names = {
        element.get("id"): element.text for element in svg if element.tag in (f"{SVG}title", f"{SVG}desc")
    }
    assert (svg.get("aria-labelledby") or "").split() == list(names) == ["k7-title", "k7-desc"]
    assert names["k7-title"] == CURVES.title and names["k7-desc"] == describe(CURVES)
    assert "logarithmic" in describe(CURVES) and all(s.name in describe(CURVES) for s in CURVES.series)


def test_a_picture_on_its_own_brings_its_style_and_words() -> None:
    alone, within = parsed(BANDS, standalone=True), parsed(replace(CURVES, note="Of ten."))
    (style,) = alone.iter(f"{SVG}style")
    assert "prefers-color-scheme: dark" in (style.text or "") and "var(" not in (style.text or "")
    assert BANDS.title in texts(alone) and alone.find(f"{SVG}rect") is not None
    assert within.find(f"{SVG}style") is None and CURVES.title not in texts(within)
    assert "Of ten." in texts(parsed(replace(CURVES, note="Of ten."), standalone=True))
    assert chart_svg(BANDS, standalone=True).startswith('<svg xmlns="http://www.w3.org/2000/svg"')


def test_what_users_write_is_escaped() -> None:
    written = chart_svg(NAMED, standalone=True)
    assert "<script" not in written and "\x1b" not in written and "\x00" not in written
    titles = [element.text or "" for element in ElementTree.fromstring(written).iter(f"{SVG}title")]
    assert titles[0] == NASTY.replace("\x1b", "\ufffd").replace("\x00", "\ufffd")


# ---- marks -------------------------------------------------------------------------------------------------


def one(*values: Any, style: str = LINE, **settings: Any) -> Chart:
    return Chart("t", "x", "y", [Series("s", range(len(values)), list(values), style=style)], **settings)


def points(path: ElementTree.Element) -> list[tuple[float, float]]:
    numbers = [float(number) for number in NUMBER.findall(path.get("d") or "")]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def test_a_line_goes_through_its_values_in_proportion() -> None:
    (line, *_), curve = (
        marks(parsed(one(0.0, 5.0, 10.0)), "line"),
        marks(parsed(one(0.0, 5.0, 10.0)), "line")[-1],
    )
    assert line is not curve
    (x0, y0), (x1, y1), (x2, y2) = points(curve)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y0 > y1 > y2, "larger values are higher"


def test_a_logarithmic_axis_has_equal_ratios_at_equal_distances() -> None:
    first, second, third = (
        y for _, y in points(marks(parsed(one(1.0, 10.0, 100.0, log_y=True)), "line")[-1])
    )
    assert first - second == pytest.approx(second - third, abs=0.2)


def test_gaps_break_a_line_and_a_lonely_value_is_a_dot() -> None:
    svg = parsed(HOLES)
    gaps = next(group for group in list(svg.iter(f"{SVG}g"))[-4:] if group.get("class") == "c0")
    lines = [path for path in gaps if path.get("class") == "line"]
    assert [len(points(line)) for line in lines] == [2, 2]
    alone = [path for path in list(svg.iter(f"{SVG}g"))[-1] if path.get("class") == "marker"]
    assert len(alone) == 1


@pytest.mark.parametrize(("chart", "number"), [(HOLES, 2), (NEGATIVE, 2), (CURVES, 0)])
def test_values_without_a_place_are_counted(chart: Chart, number: int) -> None:
    remarks = [text for text in texts(parsed(chart)) if text.startswith("Not drawn")]
    assert [int(NUMBER.findall(remark)[0]) for remark in remarks] == ([number] if number else [])


def test_error_bars_span_their_ends_and_bands_enclose_their_line() -> None:
    svg = parsed(BANDS)
    (band,) = marks(svg, "band")
    line = points(marks(svg, "line")[-1])
    outline = points(band)
    assert len(outline) == 2 * len(line)
    for (x, y), (_, high), (_, low) in zip(line, outline, reversed(outline), strict=False):
        assert high < y < low and outline[0][0] <= x
    (whiskers,) = marks(svg, "whisker")
    assert (whiskers.get("d") or "").count("V") == 2, "no error bar in a gap"


def test_bars_stand_on_zero_and_have_their_heights() -> None:
    bars = marks(parsed(one(2.0, 4.0, style=BARS, categories=("a", "b"))), "bar")[1:]
    heights = []
    for bar in bars:
        _, y0, y1, *_ = [float(number) for number in NUMBER.findall(bar.get("d") or "")]
        heights.append(y0 - y1)
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.3)
    below = marks(parsed(one(-2.0, 4.0, style=BARS)), "bar")[1:]
    assert len(below) == 2


def test_names_that_do_not_fit_are_written_above_bars_that_lie() -> None:
    upright, lying = parsed(UPRIGHT), parsed(LYING)
    assert not any("v" in (bar.get("d") or "") for bar in marks(upright, "bar"))
    assert sum("v" in (bar.get("d") or "") for bar in marks(lying, "bar")) == 3
    assert set(UPRIGHT.categories) <= set(texts(upright)) and set(LYING.categories[1:]) <= set(texts(lying))
    short = next(text for text in texts(lying) if text.startswith("private("))
    assert short.endswith("…") and LYING.categories[0].startswith(short[:-1])


def test_many_points_cost_few_bytes_and_keep_their_peaks() -> None:
    many = [math.sin(i / 500) for i in range(100_000)]
    many[77_777] = 50.0
    written = chart_svg(one(*many), standalone=False)
    assert len(written) < 60_000
    line = points(marks(ElementTree.fromstring(written), "line")[-1])
    assert min(y for _, y in line) < min(y for _, y in line if y > min(y for _, y in line)) - 100


def test_hints_say_the_values_of_marks() -> None:
    hints = [title.text for title in parsed(UPRIGHT).iter(f"{SVG}title")]
    assert "measured: TCP, 1,500" in hints
    assert "0, 0.5" in [
        t.text for t in parsed(Chart("t", "x", "y", [Series("", [0], [0.5])])).iter(f"{SVG}title")
    ]


FLOATS = st.one_of(st.none(), st.floats(), st.floats(-1e3, 1e3), st.sampled_from([0.0, 1.0, 1e-300, 1e300]))


@st.composite
def charts(draw: st.DrawFn) -> Chart:
    categories = draw(st.lists(st.text(max_size=40), max_size=5))
    series = []
    for _ in range(draw(st.integers(0, 4))):
        size = draw(st.integers(0, 6))
        places = range(len(categories)) if categories else ()
        x = [float(i) for i in places] or draw(st.lists(st.floats(), min_size=size, max_size=size))
        numbers = st.lists(FLOATS, min_size=len(x), max_size=len(x))
        ends = st.one_of(st.just([]), numbers)
        series.append(
            Series(
                draw(st.text(max_size=60)),
                x,
                draw(numbers),
                draw(ends),
                draw(ends),
                draw(st.sampled_from(STYLES)),
            )
        )
    words = [draw(st.text(max_size=80)) for _ in range(4)]
    return Chart(*words[:3], series, draw(st.booleans()), draw(st.booleans()), categories, words[3])


@given(charts(), st.sampled_from(WIDTHS))
def test_any_chart_can_be_drawn(chart: Chart, width: float) -> None:
    check_within(parsed(chart, standalone=True, width=width))
    assert "nan" not in re.sub(r"<(title|desc|text)[^>]*>[^<]*", "", chart_svg(chart, standalone=False))


def test_points_have_no_line() -> None:
    assert not marks(parsed(one(1.0, 2.0, style=POINTS)), "line")
