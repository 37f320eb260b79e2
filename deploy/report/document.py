"""What a page shows, whatever it is about: sections of text, tables and charts, as JSON in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradwire.common.errors import ConfigError

DOCUMENT = "gradwire-document"  # the field by which the JSON of a document is known, and its version
VERSION = 1

Cell = str | float | int | None
LINE, DASHED, POINTS, BARS = "line", "dashed", "points", "bars"
STYLES = (LINE, DASHED, POINTS, BARS)


@dataclass(frozen=True)
class Series:
    """One curve of a chart.

    Attributes:
        name: in the legend.
        x: positions; names of bars are the chart's ``categories``, and x counts them from 0.
        y: values, as many; None leaves a gap.
        low: lower ends of error bars or of a band, as many as ``y``, or empty; None where there is none.
        high: upper ends, as ``low``.
        style: ``line``, ``dashed``, ``points`` or ``bars``.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    style: str = LINE

    def __post_init__(self) -> None:
        lengths = {len(self.x), len(self.y), len(self.low or self.x), len(self.high or self.x)}
        if len(lengths) > 1:
            raise ConfigError(
                f"the series {self.name} has lists of {sorted(lengths)} numbers, expected one length"
            )
        if self.style not in STYLES:
            raise ConfigError(
                f"the series {self.name} is drawn as {self.style}, expected one of {', '.join(STYLES)}"
            )


@dataclass(frozen=True)
class Chart:
    """A picture of some series; its numbers are shown in a table beside it.

    Attributes:
        title: one line.
        x, y: labels of the axes, with their units.
        series: in the order of the legend.
        log_x, log_y: whether an axis is logarithmic.
        categories: names of the bars; empty for a numeric axis.
        note: below the picture.
    """

    title: str
    x: str
    y: str
    series: Sequence[Series]
    log_x: bool = False
    log_y: bool = False
    categories: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of numbers and words.

    Attributes:
        title: one line.
        columns: heads.
        rows: as many cells each; None is shown as a dash.
        note: below the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ConfigError(
                    f"a row of the table {self.title} has {len(row)} cells, expected {len(self.columns)}"
                )


@dataclass(frozen=True)
class Highlight:
    """One result in large print.

    Attributes:
        name: what it is.
        value: with its unit.
        note: below it, a few words.
    """

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Highlights:
    """The results that a reader looks for first.

    Attributes:
        items: a handful.
    """

    items: Sequence[Highlight]


Part = str | Chart | Table | Highlights


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it: paragraphs, charts, tables and highlights.

    In a paragraph, text between backticks is code; an empty line begins another paragraph.
    """

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Document:
    """A page.

    Attributes:
        title: one line.
        about: a sentence or two below it.
        sections: in order.
        facts: small print at the end, by name: versions, machine, seeds.
        data: what the sections were made from, for programs; any JSON.
    """

    title: str
    about: str
    sections: Sequence[Section]
    facts: Mapping[str, str] = field(default_factory=dict)
    data: Any = None

    def to_json(self) -> dict[str, Any]:
        """The document as JSON; charts and tables carry their kind."""
        return {
            DOCUMENT: VERSION,
            "title": self.title,
            "about": self.about,
            "sections": [
                {"title": s.title, "parts": [_part_to_json(p) for p in s.parts]} for s in self.sections
            ],
            "facts": dict(self.facts),
            "data": self.data,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Document:
        """A document that was written by ``to_json``.

        Raises:
            ConfigError: it is none, or of another version.
        """
        if not isinstance(value, Mapping) or value.get(DOCUMENT) != VERSION:
            raise ConfigError(f"this is no document of version {VERSION}: write it with this release")
        try:
            sections = [
                Section(s["title"], [_part_from_json(part) for part in s["parts"]]) for s in value["sections"]
            ]
            return cls(value["title"], value["about"], sections, value["facts"], value["data"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"the document is damaged: {type(error).__name__} {error}") from error


def _part_to_json(part: Part) -> str | dict[str, Any]:
    if isinstance(part, str):
        return part
    if isinstance(part, Table):
        return {
            "table": {**vars(part), "columns": list(part.columns), "rows": [list(row) for row in part.rows]}
        }
    if isinstance(part, Highlights):
        return {"highlights": [vars(item) for item in part.items]}
    series = [
        {name: list(v) if not isinstance(v, str) else v for name, v in vars(s).items()} for s in part.series
    ]
    return {"chart": {**vars(part), "series": series, "categories": list(part.categories)}}


def _part_from_json(part: Any) -> Part:
    if isinstance(part, str):
        return part
    if "table" in part:
        return Table(**part["table"])
    if "highlights" in part:
        return Highlights([Highlight(**item) for item in part["highlights"]])
    chart = dict(part["chart"])
    return Chart(**{**chart, "series": [Series(**series) for series in chart["series"]]})
