"""Documents as Markdown."""

from __future__ import annotations

import pytest

from gradwire.deploy.report.document import Document, Highlight, Highlights, Section, Table
from gradwire.deploy.report.markdown import charts_of, markdown
from tests.deploy.report.samples import CURVES, DOCUMENT, UPRIGHT

LAST = Highlights([Highlight("loss", "0.5", "last")])
PAGE = Document(
    "Variance *exact*",
    "As `a|b` says.",
    [
        Section(
            "Numbers", [Table("Rows", ["codec", "bits|a"], [["`x|y`", 1000], ["<b>_", None]], note="# note")]
        ),
        Section(
            "Pictures",
            [CURVES, "Between.\n\n1. no list", UPRIGHT, Highlights([Highlight("loss", "0.5", "last")])],
        ),
    ],
    {"seed": "3"},
)
WRITTEN = r"""# Variance \*exact\*

As `a\|b` says.

## Numbers

Rows

| codec | bits\|a |
| --- | ---: |
| `x\|y` | 1,000 |
| &lt;b>\_ | — |

\# note

## Pictures

![Loss by round](<one.svg>)

A note.

Between.

1\. no list

![Bytes](<two.svg>)

- loss: 0.5 (last)

- seed: 3
"""


def test_a_document_as_markdown() -> None:
    assert markdown(PAGE, ["one.svg", "two.svg"]) == WRITTEN


def test_each_chart_has_a_picture() -> None:
    assert charts_of(PAGE) == [CURVES, UPRIGHT]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        markdown(PAGE, ["one.svg"])


def test_what_users_write_stays_text() -> None:
    written = markdown(DOCUMENT, [f"{i}.svg" for i in range(len(charts_of(DOCUMENT)))])
    assert "<script" not in written and "\x00" not in written and "\x1b" not in written
    for block in written.split("\n\n"):
        if block.startswith("|"):
            rows = block.splitlines()
            assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
