"""The places of a chart's parts: legend, axes with their ticks, and the area between them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gradwire.deploy.report.document import BARS, POINTS, Chart
from gradwire.deploy.report.letters import width_of, wrapped
from gradwire.deploy.report.scales import Scale, range_of
from gradwire.deploy.report.ticks import Ticks

FONT = 12.5  # px, as are all numbers here
LINE = 17.0
TITLE = 15.0
GAP = 8.0
SWATCH = 26.0
ROW = 20.0  # of the bars of one category, where they lie
ASPECT = 0.56
SHORTEST, TALLEST = 190.0, 330.0


@dataclass(frozen=True)
class Axis:
    """A scale and its ticks."""

    scale: Scale
    ticks: Ticks


@dataclass(frozen=True)
class Area:
    """Where the data are drawn.

    Attributes:
        left, right, top, bottom: its edges.
        across: the axis of ``x``, or of the categories.
        up: the axis of ``y``.
        lying: whether bars lie: categories run downwards and values to the right.
    """

    left: float
    right: float
    top: float
    bottom: float
    across: Axis
    up: Axis
    lying: bool = False

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of a point."""
        first, second = self.across.scale.at(x), self.up.scale.at(y)
        return (second, first) if self.lying else (first, second)


def area(chart: Chart, width: float, top: float) -> Area:
    """The area of a chart below ``top``, with its axes."""
    if chart.categories and not _fit(chart.categories, width - 60):
        return _lying(chart, width, top)
    height = min(TALLEST, max(SHORTEST, ASPECT * width))
    bottom = top + height
    up = _axis(Scale(*_range_up(chart), bottom, top, chart.log_y), int(height // 33))
    left = max(width_of(label, FONT) for label in (*up.ticks.labels, "0")) + GAP
    right = width - GAP
    across = _across(chart, left, right)
    return Area(left, right, top, bottom, across, up)


def _fit(categories: Sequence[str], width: float) -> bool:
    slot = width / len(categories) - 6
    return all(len(wrapped(name, FONT, slot)) <= 2 and _whole(name, slot) for name in categories)


def _whole(name: str, slot: float) -> bool:
    """Whether no word of the name is shortened."""
    return all(width_of(word, FONT) <= slot for word in name.split())


def _lying(chart: Chart, width: float, top: float) -> Area:
    """One row for each category: its name, and its bars below."""
    bars = sum(series.style == BARS for series in chart.series) or 1
    row = LINE + bars * min(ROW, 14 + ROW / bars) + GAP
    bottom = top + row * len(chart.categories)
    left, right = 1.0, width - 2 * GAP
    ends = (-0.5, len(chart.categories) - 0.5)
    across = Axis(Scale(*ends, top, bottom), Ticks(range(len(chart.categories)), list(chart.categories)))
    up = _fitting(Scale(*_range_up(chart), left, right, chart.log_y))
    return Area(left, right, top, bottom, across, up, lying=True)


def _across(chart: Chart, left: float, right: float) -> Axis:
    if chart.categories:
        ends = (-0.5, len(chart.categories) - 0.5)
        return Axis(Scale(*ends, left, right), Ticks(range(len(chart.categories)), list(chart.categories)))
    values = [value for series in chart.series for value in series.x]
    whole = all(float(value).is_integer() for value in values)
    loose = any(series.style in (POINTS, BARS) for series in chart.series)
    ends = range_of(_widened(chart), log=chart.log_x, margin=0.04 if loose else 0.0)
    return _fitting(Scale(*ends, left, right, chart.log_x, whole and not chart.log_x))


def _widened(chart: Chart) -> Iterator[float]:
    """All x of a chart, and the edges of bars at numeric places."""
    for series in chart.series:
        half = half_step(series.x) if series.style == BARS else 0.0
        for value in series.x:
            yield from (value - half, value + half)


def half_step(values: Sequence[float]) -> float:
    """Half of the smallest distance between two different values; 0.5 where there are none."""
    ordered = sorted(set(values))
    return min((b - a for a, b in itertools.pairwise(ordered)), default=1.0) / 2


def _range_up(chart: Chart) -> tuple[float, float]:
    values = [v for s in chart.series for part in (s.y, s.low, s.high) for v in part]
    bars = any(series.style == BARS for series in chart.series)
    return range_of(values, log=chart.log_y, zero=bars)


def _axis(scale: Scale, most: int) -> Axis:
    return Axis(scale, scale.ticks(max(2, most)))


def _fitting(scale: Scale) -> Axis:
    """A horizontal axis with as many ticks as have room for their labels."""
    room = scale.end - scale.start
    for most in range(int(room // 40), 2, -1):
        axis = _axis(scale, most)
        places = [scale.at(value) for value in axis.ticks.values]
        nearest = min((b - a for a, b in itertools.pairwise(places)), default=room)
        if nearest >= max((width_of(label, FONT) for label in axis.ticks.labels), default=0.0) + GAP:
            return axis
    return _axis(scale, 2)
