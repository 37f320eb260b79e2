"""Documents as Markdown: tables, and links to the pictures of charts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gradwire.deploy.report.document import Chart, Document, Highlights, Part, Table
from gradwire.deploy.report.numbers import numeric, text_of

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def charts_of(document: Document) -> list[Chart]:
    """All charts of a document, in order."""
    return [part for section in document.sections for part in section.parts if isinstance(part, Chart)]


def markdown(document: Document, pictures: Sequence[str]) -> str:
    """The document as a page of Markdown; text is escaped, except what stands between backticks, which is code.

    Args:
        document: the page.
        pictures: where the picture of each chart is, relative to the page, in the order of ``charts_of``.

    Raises:
        ValueError: there are more or fewer pictures than charts.
    """
    charts = charts_of(document)
    links = {id(chart): picture for chart, picture in zip(charts, pictures, strict=True)}
    blocks = [f"# {_text(document.title)}", *_paragraphs(document.about)]
    for section in document.sections:
        blocks.append(f"## {_text(section.title)}")
        for part in section.parts:
            blocks += _part(part, links)
    if document.facts:
        blocks.append("\n".join(f"- {_text(name)}: {_text(value)}" for name, value in document.facts.items()))
    return "\n\n".join(blocks) + "\n"


def _part(part: Part, links: dict[int, str]) -> Iterator[str]:
    if isinstance(part, Chart):
        yield f"![{_text(part.title)}](<{links[id(part)]}>)"
        yield from _paragraphs(part.note)
    elif isinstance(part, Table):
        yield _text(part.title)
        yield table_markdown(part)
        yield from _paragraphs(part.note)
    elif isinstance(part, Highlights):
        yield "\n".join(
            f"- {_text(item.name)}: {_text(item.value)}{f' ({_text(item.note)})' if item.note else ''}"
            for item in part.items
        )
    else:
        yield from _paragraphs(part)


def table_markdown(table: Table) -> str:
    """The rows of a table, numbers to the right."""
    columns = range(len(table.columns))
    numbers = [numeric([row[column] for row in table.rows]) for column in columns]
    lines = [
        [_cell(head) for head in table.columns],
        ["---:" if number else "---" for number in numbers],
        *([_cell(text_of(cell)) for cell in row] for row in table.rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return _text(text) or " "


def _paragraphs(text: str) -> Iterator[str]:
    yield from (_text(part) for part in re.split(r"\n\s*\n", text.strip()) if part)


def _text(text: str) -> str:
    """One line of Markdown."""
    words = " ".join(_CONTROL.sub("\ufffd", text).split())
    pieces = re.split(r"(`[^`]+`)", words)
    return "".join(
        piece.replace("|", "\\|") if number % 2 else _escaped(piece, first=number == 0)
        for number, piece in enumerate(pieces)
    )


def _escaped(text: str, *, first: bool) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("`", "\\`")
    text = re.sub(r"([*_\[\]|~])", r"\\\1", text.replace("\\", "\\\\"))
    return re.sub(r"^([#>+-]|\d+[.)])(?=\s|$)", _with_backslash, text) if first else text


def _with_backslash(found: re.Match[str]) -> str:
    """What would begin a heading, a quotation or a list, as text."""
    return f"{found[0][:-1]}\\{found[0][-1]}"
