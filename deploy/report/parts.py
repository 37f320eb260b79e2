"""The parts of a document as HTML: paragraphs, highlights, tables, and charts with their numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from gradwire.deploy.report.document import Cell, Chart, Highlights, Part, Table
from gradwire.deploy.report.letters import escaped
from gradwire.deploy.report.numbers import chart_table, numeric, text_of
from gradwire.deploy.report.svg import chart_svg

NARROW_WIDTH = 328.0  # px: a phone's 360 without the margins
SINGLE_WIDTH, PAIRED_WIDTH = 640.0, 430.0  # of a chart alone, and of one beside another

Key = Callable[[str], str]  # a new identifier within the page that begins with a letter


def parts_html(parts: Sequence[Part], key: Key) -> Iterator[str]:
    """The parts in order; charts that follow each other stand side by side where there is room.

    Args:
        parts: of a section.
        key: makes identifiers.
    """
    for together, group in groupby(parts, lambda part: isinstance(part, Chart)):
        if together:
            charts = [part for part in group if isinstance(part, Chart)]
            width = SINGLE_WIDTH if len(charts) == 1 else PAIRED_WIDTH
            yield '<div class="charts">'
            yield from (_figure(chart, width, key) for chart in charts)
            yield "</div>"
        else:
            yield from (_part(part, key) for part in group)


def _part(part: Part, key: Key) -> str:
    if isinstance(part, Table):
        return f'<figure class="tabular">{table_html(part, key)}</figure>'
    if isinstance(part, Highlights):
        return highlights_html(part)
    assert isinstance(part, str)
    return paragraphs_html(part)


def paragraphs_html(text: str) -> str:
    """Text in paragraphs, which empty lines part; what stands between backticks is code."""
    paragraphs = (inline_html(part) for part in re.split(r"\n\s*\n", text.strip()) if part)
    return "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)


def inline_html(text: str) -> str:
    """Text within an element; what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(text))


def highlights_html(highlights: Highlights) -> str:
    """The highlights as a list of names and values."""
    items = "".join(
        f'<div><dt>{escaped(item.name)}</dt><dd class="value">{escaped(item.value)}</dd>'
        + (f'<dd class="note">{inline_html(item.note)}</dd>' if item.note else "")
        + "</div>"
        for item in highlights.items
    )
    return f'<dl class="highlights">{items}</dl>'


def table_html(table: Table, key: Key) -> str:
    """A table that scrolls by itself where it is too wide; the keyboard reaches it."""
    numbers = [numeric([row[column] for row in table.rows]) for column in range(len(table.columns))]
    heads = "".join(
        f'<th scope="col"{_class(number)}>{inline_html(head)}</th>'
        for head, number in zip(table.columns, numbers, strict=True)
    )
    rows = "".join(f"<tr>{_cells(row, numbers)}</tr>" for row in table.rows)
    caption = key("t")
    note = f'<p class="note">{inline_html(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll" role="region" aria-labelledby="{caption}" tabindex="0"><table>'
        f'<caption id="{caption}">{inline_html(table.title)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{note}"
    )


def _cells(row: Sequence[Cell], numbers: Sequence[bool]) -> Iterator[str] | str:
    first, *others = (
        (inline_html(text_of(cell)), _class(number)) for cell, number in zip(row, numbers, strict=True)
    )
    return f'<th scope="row"{first[1]}>{first[0]}</th>' + "".join(f"<td{c}>{text}</td>" for text, c in others)


def _class(number: bool) -> str:
    return ' class="number"' if number else ""


def _figure(chart: Chart, width: float, key: Key) -> str:
    """A chart in two widths, of which the window shows one, and its numbers."""
    pictures = "".join(
        chart_svg(chart, standalone=False, width=size, key=key("c")).replace(
            'class="chart"', f'class="chart {name}"', 1
        )
        for name, size in (("wide", width), ("narrow", NARROW_WIDTH))
    )
    note = f'<p class="note">{inline_html(chart.note)}</p>' if chart.note else ""
    table = table_html(chart_table(chart), key)
    numbers = f"<details><summary>Numbers of “{escaped(chart.title)}”</summary>{table}</details>"
    return f"<figure><figcaption>{inline_html(chart.title)}</figcaption>{pictures}{note}{numbers}</figure>"
