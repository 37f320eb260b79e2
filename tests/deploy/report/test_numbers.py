"""Numbers as text, and charts as tables."""

from __future__ import annotations

import math

import pytest

from gradwire.deploy.report.document import Cell, Chart, Series
from gradwire.deploy.report.numbers import MOST_ROWS, chart_table, numeric, text_of
from tests.deploy.report.samples import BANDS, UPRIGHT


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "—"), ("words", "words"), (12345, "12,345"), (0.1, "0.1"), (1234.5678, "1,234.57"), (1e-7, "1e-07"),
        (1234567.8, "1,234,568"), (1e20, "1e+20"), (math.nan, "not a number"), (math.inf, "∞"), (-math.inf, "−∞"),
    ],
)  # fmt: skip
def test_cells(cell: Cell, text: str) -> None:
    assert text_of(cell) == text


def test_columns_of_numbers() -> None:
    assert numeric([1, None, 2.5]) and not numeric([None, None]) and not numeric([1, "a"])


def test_series_that_share_their_x_stand_side_by_side() -> None:
    table = chart_table(UPRIGHT)
    assert table.columns == ["name", "predicted", "measured", "measured: from", "measured: to"]
    assert table.rows[2] == ["TCP", None, 1500.0, 1400, 1600]


def test_others_stand_below_each_other() -> None:
    table = chart_table(BANDS)
    assert table.columns == ["series", "message bytes", "test error", "from", "to"]
    assert table.rows[0] == ["band", 1000, 0.9, 0.8, 1.0] and table.rows[5] == [
        "whiskers",
        20000,
        None,
        None,
        None,
    ]
    assert len(table.rows) == 7 and not table.note


def test_long_tables_keep_their_last_row() -> None:
    rows = 12 * MOST_ROWS + 7
    table = chart_table(Chart("t", "", "loss", [Series("", range(rows), [0.5] * rows)]))
    assert table.columns == ["x", "loss"] and len(table.rows) <= MOST_ROWS
    assert table.rows[-1][0] == rows - 1 and f"{rows:,} rows" in table.note
    assert chart_table(Chart("t", "x", "y", [])).rows == []
