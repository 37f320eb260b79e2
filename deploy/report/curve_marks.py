"""Lines with their bands and markers, and points with their error bars, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from gradwire.deploy.report.document import DASHED, POINTS, Chart, Series
from gradwire.deploy.report.layout import LINE, Area
from gradwire.deploy.report.marks import Drawn, Place, drawn_runs, ends_of, error_bars, hint
from gradwire.deploy.report.palette import dash_of, marker, n

EVERY = 64.0  # px between the markers of a line with many points
CROWDED = 14.0  # px between points below which a line has not a marker for each


def curve_marks(chart: Chart, area: Area, index: int) -> str:
    """Line, band and markers of one series, or points with error bars."""
    series = chart.series[index]
    runs = drawn_runs(chart, area, series)
    if area.lying:
        runs = [[replace(each, place=_below_name(each.place)) for each in run] for run in runs]
    points = [drawn for run in runs for drawn in run]
    if series.style == POINTS:
        shift = LINE / 2 if area.lying else 0.0
        return error_bars(area, series, points, shift) + _markers(chart, index, points)
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
    return place[0], place[1] + LINE / 2


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
        f'<path class="marker" d="{marker(index, *drawn.place)}">{hint(chart, index, drawn.number)}</path>'
        for drawn in points
    )


def _band(area: Area, series: Series, run: Sequence[Drawn]) -> str:
    ends = [found for drawn in run if (found := ends_of(area, series, drawn.number)) is not None]
    if len(ends) < 2:
        return ""
    outline = [*(high for _, high in ends), *(low for low, _ in reversed(ends))]
    return f'<path class="band" d="{_path(outline)}z"/>'
