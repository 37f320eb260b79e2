"""The legend of a chart: a sample of each series and its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gradwire.deploy.report.document import BARS, DASHED, Chart, Series
from gradwire.deploy.report.document import LINE as SOLID
from gradwire.deploy.report.layout import FONT, GAP, LINE
from gradwire.deploy.report.letters import shortened, width_of
from gradwire.deploy.report.palette import dash_of, marker, n

SWATCH = 26.0


@dataclass(frozen=True)
class LegendEntry:
    """One series in the legend: its place in the chart, its name and where it is written."""

    index: int
    series: Series
    text: str
    x: float
    y: float


def legend(chart: Chart, width: float, top: float) -> list[LegendEntry]:
    """The entries in rows, as many in each as fit; none for a single series without a name."""
    named = [(i, s) for i, s in enumerate(chart.series) if s.name]
    entries: list[LegendEntry] = []
    x, y = 0.0, top + LINE * 0.75
    for index, series in named:
        text = shortened(series.name, FONT, width - SWATCH - GAP)
        needed = SWATCH + width_of(text, FONT)
        if x and x + needed > width:
            x, y = 0.0, y + LINE + 3
        entries.append(LegendEntry(index, series, text, x, y))
        x += needed + 2 * GAP
    return entries


def swatch(entry: LegendEntry) -> Iterator[str]:
    """The sample of a series in the legend."""
    y, index, style = entry.y - 4.5, entry.index, entry.series.style
    x = entry.x
    if style == BARS:
        yield f'<path class="bar" d="M{n(x + 3)} {n(y - 6)}H{n(x + 17)}V{n(y + 6)}H{n(x + 3)}z"/>'
        return
    if style in (SOLID, DASHED):
        dash = dash_of(index, dashed=style == DASHED)
        attribute = f' stroke-dasharray="{dash}"' if dash else ""
        yield f'<path class="line"{attribute} d="M{n(x)} {n(y)}h20"/>'
    yield f'<path class="marker" d="{marker(index, x + 10, y)}"/>'
