"""Numbers for readers, and the numbers of a chart as a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gradwire.deploy.report.document import Cell, Chart, Series, Table

MOST_ROWS = 200  # of a chart's table
DIGITS = 6


def text_of(cell: Cell) -> str:
    """A cell as text: six significant digits, thousands apart.

    >>> text_of(3825.046), text_of(0.1 + 0.2), text_of(1_180_416), text_of(2.5e-9), text_of(None)
    ('3,825.05', '0.3', '1,180,416', '2.5e-09', '—')
    """
    if cell is None:
        return "—"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        return f"{cell:,}"
    if not math.isfinite(cell):
        return "not a number" if math.isnan(cell) else "∞" if cell > 0 else "−∞"
    if 1e6 <= abs(cell) < 1e15:
        return f"{cell:,.0f}"
    return f"{cell:,.{DIGITS}g}"


def numeric(cells: Sequence[Cell]) -> bool:
    """Whether a column is one of numbers: it has some, and no words."""
    return any(isinstance(cell, int | float) for cell in cells) and not any(
        isinstance(cell, str) for cell in cells
    )


def chart_table(chart: Chart) -> Table:
    """The numbers of a chart: a row for each x where its series share them, else one for each point.

    Of a long table the rows at even distances are kept, and the last one; its note says so.
    """
    shared = all(list(series.x) == list(chart.series[0].x) for series in chart.series)
    columns, rows = _side_by_side(chart) if shared else _one_below_the_other(chart)
    kept = _spread(rows)
    note = f"{len(kept)} of {len(rows):,} rows." if len(kept) < len(rows) else ""
    return Table(chart.title, columns, kept, note)


def _spread(rows: list[list[Cell]]) -> list[list[Cell]]:
    apart = max(1, math.ceil(len(rows) / MOST_ROWS))
    return rows[len(rows) - 1 :: -apart][::-1] if rows else []


def _side_by_side(chart: Chart) -> tuple[list[str], list[list[Cell]]]:
    columns = [_head(chart)]
    for series in chart.series:
        columns += _names(series, series.name or chart.y)
    if not chart.series:
        return columns, []
    rows: list[list[Cell]] = []
    for number, x in enumerate(chart.series[0].x):
        row: list[Cell] = [_place(chart, x)]
        for series in chart.series:
            row += _values(series, number)
        rows.append(row)
    return columns, rows


def _one_below_the_other(chart: Chart) -> tuple[list[str], list[list[Cell]]]:
    low, high = any(s.low for s in chart.series), any(s.high for s in chart.series)
    extra = [name for name, there in (("from", low), ("to", high)) if there]
    rows: list[list[Cell]] = []
    for series in chart.series:
        for number, x in enumerate(series.x):
            ends = (series.low, low), (series.high, high)
            found = [end[number] if end else None for end, there in ends if there]
            rows.append([series.name, _place(chart, x), series.y[number], *found])
    return ["series", _head(chart), chart.y, *extra], rows


def _head(chart: Chart) -> str:
    return chart.x or ("name" if chart.categories else "x")


def _names(series: Series, name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}: {what}" for what, end in (("from", series.low), ("to", series.high)) if end)


def _values(series: Series, number: int) -> Iterator[Cell]:
    yield series.y[number]
    yield from (end[number] for end in (series.low, series.high) if end)


def _place(chart: Chart, x: float) -> Cell:
    """The x of a point: the name of its category, or its number; whole ones without a point."""
    if chart.categories:
        return chart.categories[int(x)] if 0 <= x < len(chart.categories) else float(x)
    return int(x) if float(x).is_integer() and abs(x) < 1e15 else float(x)
