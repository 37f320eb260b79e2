"""The marks of a chart's series: lines, bands, points, bars and error bars, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gradwire.deploy.report.document import BARS, DASHED, LINE, POINTS, Chart, Series
from gradwire.deploy.report.layout import GAP, Area, LegendEntry, half_step
from gradwire.deploy.report.layout import LINE as TEXT_LINE
from gradwire.deploy.report.letters import escaped
from gradwire.deploy.report.palette import colour_class, dash_of, marker, n
from gradwire.deploy.report.scales import drawable

Place = tuple[float, float]
EVERY = 64.0  # px between the markers of a line with many points
CROWDED = 14.0  # px between points below which a line has not a marker for each
CAP = 4.0  # half of the width of an error bar's ends
FILLED = 0.78  # of a slot, by its bars


@dataclass(frozen=True)
class Drawn:
    """A point of a series that can be drawn: its number in the series, and its place."""

    number: int
    place: Place


def series_marks(chart: Chart, area: Area, index: int) -> str:
    """All marks of one series."""
    series = chart.series[index]
    inner = _bars(chart, area, index) if series.style == BARS else _curve(chart, area, index)
    return f'<g class="{colour_class(index)}">{inner}</g>'


def undrawn(chart: Chart) -> int:
    """How many values are not drawn, though they are there: infinite, or not positive on a logarithmic axis."""
    return sum(
        y is not None and not _drawable(chart, x, y)
        for series in chart.series
        for x, y in zip(series.x, series.y, strict=True)
    )


def _drawable(chart: Chart, x: float, y: float | None) -> bool:
    return drawable(x, log=chart.log_x) and drawable(y, log=chart.log_y)


def _runs(chart: Chart, area: Area, series: Series) -> list[list[Drawn]]:
    """The series in pieces between its gaps."""
    runs: list[list[Drawn]] = [[]]
    for number, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        if y is not None and _drawable(chart, x, y):
            runs[-1].append(Drawn(number, area.at(x, y)))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _curve(chart: Chart, area: Area, index: int) -> str:
    series = chart.series[index]
    runs = _runs(chart, area, series)
    if area.lying:
        runs = [[replace(each, place=_below_name(each.place)) for each in run] for run in runs]
    points = [drawn for run in runs for drawn in run]
    if series.style == POINTS:
        shift = TEXT_LINE / 2 if area.lying else 0.0
        return _whiskers(area, series, points, shift) + _markers(chart, index, points)
    dash = dash_of(index, dashed=series.style == DASHED)
    attribute = f' stroke-dasharray="{dash}"' if dash else ""
    paths = "".join(
        f'<path class="line"{attribute} d="{_path(_thinned(run))}"/>' for run in runs if len(run) > 1
    )
    alone = [run[0] for run in runs if len(run) == 1]
    chosen = sorted({d.number: d for d in (*_chosen(points, index), *alone)}.items())
    bands = "".join(_band(area, series, run) for run in runs)
    return bands + paths + _markers(chart, index, [d for _, d in chosen])


def _below_name(place: Place) -> Place:
    """Where bars lie the name of a category takes a line of its slot."""
    return place[0], place[1] + TEXT_LINE / 2


def _path(places: Sequence[Place]) -> str:
    return "M" + "L".join(f"{n(x)} {n(y)}" for x, y in places)


def _thinned(run: Sequence[Drawn]) -> list[Place]:
    """The places, of many in one column of pixels the first, the highest, the lowest and the last."""
    columns: dict[int, list[Place]] = {}
    for drawn in run:
        columns.setdefault(math.floor(drawn.place[0]), []).append(drawn.place)
    kept: list[Place] = []
    for places in columns.values():
        if len(places) <= 4:
            kept += places
            continue
        chosen = {0, len(places) - 1}
        for choose in (min, max):
            chosen.add(choose(range(len(places)), key=lambda i: places[i][1]))
        kept += [places[i] for i in sorted(chosen)]
    return kept


def _chosen(points: Sequence[Drawn], index: int) -> list[Drawn]:
    """The points with a marker: all of a few; of many those at some distance, not at the places of other series."""
    if len(points) < 2:
        return list(points)
    width = abs(points[-1].place[0] - points[0].place[0])
    if width / (len(points) - 1) >= CROWDED:
        return list(points)
    chosen: list[Drawn] = []
    following = points[0].place[0] + EVERY * (0.25 + index % 4 / 4)
    for drawn in points:
        if drawn.place[0] >= following:
            chosen.append(drawn)
            following = max(following + EVERY, drawn.place[0] + 1)
    return chosen


def _markers(chart: Chart, index: int, points: Sequence[Drawn]) -> str:
    return "".join(
        f'<path class="marker" d="{marker(index, *drawn.place)}">{_hint(chart, index, drawn.number)}</path>'
        for drawn in points
    )


def _hint(chart: Chart, index: int, number: int) -> str:
    """What a mouse shows over a mark."""
    series = chart.series[index]
    x, y = series.x[number], series.y[number]
    at = chart.categories[int(x)] if chart.categories and 0 <= x < len(chart.categories) else f"{x:,.6g}"
    named = f"{series.name}: " if series.name else ""
    return f"<title>{escaped(f'{named}{at}, {y:,.6g}')}</title>"


def _ends(area: Area, series: Series, number: int) -> tuple[Place, Place] | None:
    """Where the error bar of a point begins and ends; None where it has none."""
    if not (series.low or series.high):
        return None
    x, y = series.x[number], series.y[number]
    low = series.low[number] if series.low else y
    high = series.high[number] if series.high else y
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return None
    return area.at(x, low), area.at(x, high)


def _band(area: Area, series: Series, run: Sequence[Drawn]) -> str:
    ends = [found for drawn in run if (found := _ends(area, series, drawn.number)) is not None]
    if len(ends) < 2:
        return ""
    outline = [*(high for _, high in ends), *(low for low, _ in reversed(ends))]
    return f'<path class="band" d="{_path(outline)}z"/>'


def _whiskers(area: Area, series: Series, points: Sequence[Drawn], shift: float = 0.0) -> str:
    found = (_ends(area, series, drawn.number) for drawn in points)
    lines = "".join(_whisker(*ends, shift, lying=area.lying) for ends in found if ends is not None)
    kind = "over-bar" if series.style == BARS else "whisker"
    return f'<path class="{kind}" d="{lines}"/>' if lines else ""


def _whisker(low: Place, high: Place, shift: float, *, lying: bool) -> str:
    """A line with caps; ``shift`` moves it along the axis of x."""
    (x0, y0), (x1, y1) = low, high
    if lying:
        y = y0 + shift
        caps = "".join(f"M{n(x)} {n(y - CAP)}V{n(y + CAP)}" for x in (x0, x1))
        return f"M{n(x0)} {n(y)}H{n(x1)}{caps}"
    x = x0 + shift
    caps = "".join(f"M{n(x - CAP)} {n(y)}H{n(x + CAP)}" for y in (y0, y1))
    return f"M{n(x)} {n(y0)}V{n(y1)}{caps}"


def _bars(chart: Chart, area: Area, index: int) -> str:
    series = chart.series[index]
    shift, thick = _slot(chart, area, index)
    base = area.up.scale.kept(0.0)
    marks = []
    for run in _runs(chart, area, series):
        for drawn in run:
            start = area.at(series.x[drawn.number], base)
            box = _box(start, drawn.place, shift, thick, lying=area.lying)
            marks.append(f'<path class="bar" d="{box}">{_hint(chart, index, drawn.number)}</path>')
            marks.append(_whiskers(area, series, [drawn], shift))
    return "".join(marks)


def _slot(chart: Chart, area: Area, index: int) -> tuple[float, float]:
    """How far the bars of a series are from the centre of their slot, and how thick they are."""
    beside = [i for i, series in enumerate(chart.series) if series.style == BARS]
    series = chart.series[index]
    half = 0.5 if chart.categories else half_step(series.x)
    middle = series.x[0] if len(series.x) else 0.0
    whole = abs(area.across.scale.at(middle + half) - area.across.scale.at(middle - half))
    filled = whole - TEXT_LINE - GAP if area.lying else FILLED * whole
    thick = filled / len(beside)
    place = beside.index(index) - (len(beside) - 1) / 2
    return place * thick + (TEXT_LINE / 2 if area.lying else 0.0), min(thick, max(1.0, thick - 2))


def _box(start: Place, end: Place, shift: float, thick: float, *, lying: bool) -> str:
    (x0, y0), (x1, y1) = start, end
    if lying:
        return f"M{n(x0)} {n(y0 + shift - thick / 2)}H{n(x1)}v{n(thick)}H{n(x0)}z"
    return f"M{n(x0 + shift - thick / 2)} {n(y0)}V{n(y1)}h{n(thick)}V{n(y0)}z"


def swatch(entry: LegendEntry) -> Iterator[str]:
    """The sample of a series in the legend."""
    y, index, style = entry.y - 4.5, entry.index, entry.series.style
    x = entry.x
    if style == BARS:
        yield f'<path class="bar" d="M{n(x + 3)} {n(y - 6)}H{n(x + 17)}V{n(y + 6)}H{n(x + 3)}z"/>'
        return
    if style in (LINE, DASHED):
        dash = dash_of(index, dashed=style == DASHED)
        attribute = f' stroke-dasharray="{dash}"' if dash else ""
        yield f'<path class="line"{attribute} d="M{n(x)} {n(y)}h20"/>'
    yield f'<path class="marker" d="{marker(index, x + 10, y)}"/>'
