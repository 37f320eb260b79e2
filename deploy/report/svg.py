"""Charts as SVG: within a page, or as files of their own. The same chart gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator

from gradwire.deploy.report.bar_marks import bar_marks
from gradwire.deploy.report.curve_marks import curve_marks
from gradwire.deploy.report.document import BARS, Chart, Series
from gradwire.deploy.report.layout import FONT, GAP, LINE, TITLE, Area, area
from gradwire.deploy.report.legend import SWATCH, legend, swatch
from gradwire.deploy.report.letters import escaped, shortened, width_of, wrapped
from gradwire.deploy.report.marks import undrawn
from gradwire.deploy.report.palette import colour_class, n, style_sheet

WIDTH = 640.0  # px of a picture on its own
EDGE = 14.0  # around a picture on its own


def chart_svg(chart: Chart, *, standalone: bool, width: float = WIDTH, key: str = "chart") -> str:
    """A chart as an SVG element.

    It has a title and a description for screen readers. Values that have no place, as infinite ones and those below
    zero on a logarithmic axis, are left out, and the picture says how many.

    Args:
        chart: what is drawn.
        standalone: whether it is a file of its own: with style, background, title and note; within a page it has
            neither of them, and the page holds ``palette.style_sheet()``.
        width: of the picture in px, at least 240; the height follows.
        key: begins the identifiers of the element, which have to be unique within a page.
    """
    edge = EDGE if standalone else 0.0
    inner = max(240.0, width) - 2 * edge
    parts, bottom = [], 0.0
    if standalone:
        for line in wrapped(chart.title, TITLE, inner):
            bottom += LINE + 3
            parts.append(_text(line, 0, bottom - 5, "ink heading", size=TITLE))
        bottom += GAP / 2
    body, bottom = _body(chart, inner, bottom)
    parts += body
    remarks = [*([chart.note] if standalone and chart.note else []), *_left_out(chart)]
    for line in (line for remark in remarks for line in wrapped(remark, FONT, inner)):
        bottom += LINE
        parts.append(_text(line, 0, bottom - 4, "muted"))
    return _element(chart, parts, (inner + 2 * edge, bottom + 2 + 2 * edge), edge, key, standalone=standalone)


def _element(
    chart: Chart, parts: list[str], size: tuple[float, float], edge: float, key: str, *, standalone: bool
) -> str:
    width, height = n(size[0]), n(size[1])
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-size="{FONT}" role="img" aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{escaped(chart.title)}</title>'
        f'<desc id="{key}-desc">{escaped(describe(chart))}</desc>'
    )
    inner = "".join(parts)
    if standalone:
        background = f'<rect class="paper" width="{width}" height="{height}"/>'
        moved = f'<g transform="translate({n(edge)} {n(edge)})">{inner}</g>'
        inner = f"<style>\n{style_sheet()}</style>{background}{moved}"
    return f"{opening}{inner}</svg>" + ("\n" if standalone else "")


def _body(chart: Chart, width: float, top: float) -> tuple[list[str], float]:
    """Legend, axes and series, and where they end."""
    entries = legend(chart, width, top)
    parts = []
    for entry in entries:
        parts.append(f'<g class="{colour_class(entry.index)}">{"".join(swatch(entry))}</g>')
        parts.append(_text(entry.text, entry.x + SWATCH, entry.y, "ink"))
    if entries:
        top = entries[-1].y + LINE * 0.6
    for line in wrapped(chart.y, FONT, width):
        top += LINE
        parts.append(_text(line, 0, top - 4, "muted"))
    place = area(chart, width, top + 1.5 * GAP)
    axes, bottom = _axes(chart, place, width)
    parts += axes
    parts += [_series(chart, place, index) for index in range(len(chart.series))]
    return parts, bottom


def _series(chart: Chart, place: Area, index: int) -> str:
    """All marks of one series."""
    draw = bar_marks if chart.series[index].style == BARS else curve_marks
    return f'<g class="{colour_class(index)}">{draw(chart, place, index)}</g>'


def _axes(chart: Chart, place: Area, width: float) -> tuple[list[str], float]:
    """Grid, tick labels and the label below; and where they end."""
    if place.lying:
        return _lying_axes(chart, place, width)
    parts = []
    for value, label in zip(place.up.ticks.values, place.up.ticks.labels, strict=True):
        y = place.up.scale.at(value)
        parts.append(f'<path class="grid" d="M{n(place.left)} {n(y)}H{n(place.right)}"/>')
        parts.append(_text(label, place.left - GAP + 1, y + 4.2, "muted", anchor="end"))
    minor = "".join(
        f"M{n(place.left)} {n(place.up.scale.at(v))}H{n(place.right)}" for v in place.up.ticks.minor
    )
    parts += [f'<path class="minor" d="{minor}"/>'] if minor else []
    parts.append(f'<path class="axis" d="M{n(place.left)} {n(place.bottom)}H{n(place.right)}"/>')
    below, bottom = _below(chart, place, width)
    return [*parts, *below], bottom


def _below(chart: Chart, place: Area, width: float) -> tuple[list[str], float]:
    parts = [*_tick_marks(place)]
    bottom = place.bottom + LINE
    slot = (place.right - place.left) / len(chart.categories) - 6 if chart.categories else None
    for value, label in zip(place.across.ticks.values, place.across.ticks.labels, strict=True):
        x = place.across.scale.at(value)
        lines = [label] if slot is None else wrapped(label, FONT, slot)
        for number, line in enumerate(lines):
            y = place.bottom + LINE * (number + 1)
            bottom = max(bottom, y)
            parts.append(_tick_label(line, x, y, width))
    return _labelled(chart.x, parts, bottom, place)


def _tick_marks(place: Area) -> Iterator[str]:
    marks = "".join(
        f"M{n(place.across.scale.at(value))} {n(place.bottom)}v4" for value in place.across.ticks.values
    )
    if marks:
        yield f'<path class="axis" d="{marks}"/>'


def _tick_label(text: str, x: float, y: float, width: float) -> str:
    """A label in the middle of its tick, unless it would leave the picture."""
    half = width_of(text, FONT) / 2
    if x + half > width:
        return _text(text, width, y, "muted", anchor="end")
    return _text(text, 0, y, "muted") if x < half else _text(text, x, y, "muted", anchor="middle")


def _labelled(label: str, parts: list[str], bottom: float, place: Area) -> tuple[list[str], float]:
    """With the label of the axis below."""
    for line in wrapped(label, FONT, place.right):
        bottom += LINE
        parts.append(_text(line, place.right, bottom + 2, "muted", anchor="end"))
    return parts, bottom + GAP


def _lying_axes(chart: Chart, place: Area, width: float) -> tuple[list[str], float]:
    parts, bottom = [], place.bottom + LINE
    for value, label in zip(place.up.ticks.values, place.up.ticks.labels, strict=True):
        x = place.up.scale.at(value)
        parts.append(f'<path class="grid" d="M{n(x)} {n(place.top)}V{n(place.bottom)}"/>')
        parts.append(_tick_label(label, x, bottom, width))
    parts.append(f'<path class="axis" d="M{n(place.left)} {n(place.top)}V{n(place.bottom)}"/>')
    row = (place.bottom - place.top) / len(chart.categories)
    for number, name in enumerate(chart.categories):
        text = shortened(name, FONT, place.right - place.left - GAP)
        parts.append(_text(text, place.left + 5, place.top + row * number + LINE * 0.85, "ink"))
    return parts, bottom + GAP


def _text(text: str, x: float, y: float, kind: str, *, anchor: str = "", size: float = 0.0) -> str:
    extra = f' text-anchor="{anchor}"' if anchor else ""
    extra += f' font-size="{size:g}"' if size else ""
    return f'<text class="{kind}" x="{n(x)}" y="{n(y)}"{extra}>{escaped(text)}</text>'


def _left_out(chart: Chart) -> list[str]:
    """A remark on values that have no place in the picture."""
    number = undrawn(chart)
    if not number:
        return []
    return [f"Not drawn: {number:,} {'value' if number == 1 else 'values'} without a place on these axes."]


def describe(chart: Chart) -> str:
    """The chart in words: its axes, and where each series begins, ends and lies."""
    x = f"{len(chart.categories)} categories" if chart.categories else f"{chart.x}{_kind(log=chart.log_x)}"
    series = " ".join(_in_words(s) for s in chart.series)
    return f"Horizontal: {x}. Vertical: {chart.y}{_kind(log=chart.log_y)}. {series}"


def _kind(*, log: bool) -> str:
    return ", logarithmic" if log else ""


def _in_words(series: Series) -> str:
    found = [value for value in series.y if value is not None]
    if not found:
        return f"{series.name}: no values."
    name = f"{series.name}: " if series.name else ""
    return (
        f"{name}{len(found)} values from {found[0]:.4g} to {found[-1]:.4g}, "
        f"smallest {min(found):.4g}, largest {max(found):.4g}."
    )
