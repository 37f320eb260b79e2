"""Bars with their error bars and values, upright or lying, as SVG."""

from __future__ import annotations

from gradwire.deploy.report.document import BARS, Chart
from gradwire.deploy.report.layout import GAP, LINE, Area, half_step
from gradwire.deploy.report.letters import escaped, width_of
from gradwire.deploy.report.marks import Place, drawn_runs, error_bars, hint
from gradwire.deploy.report.palette import n
from gradwire.deploy.units import short

FILLED = 0.78  # of a slot, by its bars
SMALL = 10.5  # px, of the values


def bar_marks(chart: Chart, area: Area, index: int) -> str:
    """Bars and error bars of one series; with their values where there is room."""
    series = chart.series[index]
    shift, thick = _slot(chart, area, index)
    base = area.up.scale.kept(0.0)
    plain = not (series.low or series.high or area.lying)
    marks = []
    for drawn in (drawn for run in drawn_runs(chart, area, series) for drawn in run):
        start = area.at(series.x[drawn.number], base)
        box = _box(start, drawn.place, shift, thick, lying=area.lying)
        marks.append(f'<path class="bar" d="{box}">{hint(chart, index, drawn.number)}</path>')
        marks.append(error_bars(area, series, [drawn], shift))
        if plain:
            marks.append(_value(series.y[drawn.number], drawn.place, shift, thick))
    return "".join(marks)


def _value(value: float | None, top: Place, shift: float, thick: float) -> str:
    """What a bar shows, above it; nothing if it is wider than the bar, or below zero."""
    text = short(value or 0.0)
    if width_of(text, SMALL) > thick or (value or 0.0) <= 0:
        return ""
    place = f'x="{n(top[0] + shift)}" y="{n(top[1] - 4)}" font-size="{SMALL}" text-anchor="middle"'
    return f'<text class="muted" {place}>{escaped(text)}</text>'


def _slot(chart: Chart, area: Area, index: int) -> tuple[float, float]:
    """How far the bars of a series are from the centre of their slot, and how thick they are."""
    beside = [i for i, series in enumerate(chart.series) if series.style == BARS]
    series = chart.series[index]
    half = 0.5 if chart.categories else half_step(series.x)
    middle = series.x[0] if len(series.x) else 0.0
    whole = abs(area.across.scale.at(middle + half) - area.across.scale.at(middle - half))
    filled = whole - LINE - GAP if area.lying else FILLED * whole
    thick = filled / len(beside)
    place = beside.index(index) - (len(beside) - 1) / 2
    return place * thick + (LINE / 2 if area.lying else 0.0), min(thick, max(1.0, thick - 2))


def _box(start: Place, end: Place, shift: float, thick: float, *, lying: bool) -> str:
    (x0, y0), (x1, y1) = start, end
    if lying:
        return f"M{n(x0)} {n(y0 + shift - thick / 2)}H{n(x1)}v{n(thick)}H{n(x0)}z"
    return f"M{n(x0 + shift - thick / 2)} {n(y0)}V{n(y1)}h{n(thick)}V{n(y0)}z"
