"""What lines, points and bars have in common: the points that can be drawn, their error bars and their hints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradwire.deploy.report.document import BARS, Chart, Series
from gradwire.deploy.report.layout import Area
from gradwire.deploy.report.letters import escaped
from gradwire.deploy.report.palette import n
from gradwire.deploy.report.scales import drawable

Place = tuple[float, float]
CAP = 4.0  # half of the width of an error bar's ends


@dataclass(frozen=True)
class Drawn:
    """A point of a series that can be drawn: its number in the series, and its place."""

    number: int
    place: Place


def undrawn(chart: Chart) -> int:
    """How many values are not drawn, though they are there: infinite, or not positive on a logarithmic axis."""
    return sum(
        y is not None and not _drawable(chart, x, y)
        for series in chart.series
        for x, y in zip(series.x, series.y, strict=True)
    )


def _drawable(chart: Chart, x: float, y: float | None) -> bool:
    return drawable(x, log=chart.log_x) and drawable(y, log=chart.log_y)


def drawn_runs(chart: Chart, area: Area, series: Series) -> list[list[Drawn]]:
    """The series in pieces between its gaps."""
    runs: list[list[Drawn]] = [[]]
    for number, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        if y is not None and _drawable(chart, x, y):
            runs[-1].append(Drawn(number, area.at(x, y)))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def hint(chart: Chart, index: int, number: int) -> str:
    """What a mouse shows over a mark."""
    series = chart.series[index]
    x, y = series.x[number], series.y[number]
    at = chart.categories[int(x)] if chart.categories and 0 <= x < len(chart.categories) else f"{x:,.6g}"
    named = f"{series.name}: " if series.name else ""
    return f"<title>{escaped(f'{named}{at}, {y:,.6g}')}</title>"


def ends_of(area: Area, series: Series, number: int) -> tuple[Place, Place] | None:
    """Where the error bar of a point begins and ends; None where it has none."""
    if not (series.low or series.high):
        return None
    x, y = series.x[number], series.y[number]
    low = series.low[number] if series.low else y
    high = series.high[number] if series.high else y
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return None
    return area.at(x, low), area.at(x, high)


def error_bars(area: Area, series: Series, points: Sequence[Drawn], shift: float = 0.0) -> str:
    """The error bars of some points; ``shift`` moves them along the axis of x, in px."""
    found = (ends_of(area, series, drawn.number) for drawn in points)
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
