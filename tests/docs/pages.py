"""What docs/protocol.md, docs/payloads.md and docs/log-format.md show: their code, examples and tables."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from tests import documents


def path_of(page: str) -> Path:
    return documents.ROOT / "docs" / f"{page}.md"


def text_of(page: str) -> str:
    return documents.read(path_of(page))


def blocks(page: str, language: str) -> list[str]:
    return [block.text for block in documents.blocks(path_of(page)) if block.kind == language]


@cache
def program(page: str) -> dict[str, Any]:
    """The names that the page's Python blocks define, run as one program."""
    names: dict[str, Any] = {"__name__": f"docs.{page}"}
    exec(compile("\n\n".join(blocks(page, "python")), str(path_of(page)), "exec"), names)
    return names


def examples(page: str) -> dict[str, list[str]]:
    """The lines of the worked examples by the tag in the comment before each."""
    marked = [block for block in documents.blocks(path_of(page)) if block.mark.startswith("example: ")]
    return {block.mark.removeprefix("example: "): block.text.splitlines() for block in marked}


def section(page: str, heading: str) -> str:
    """The text from a heading to the next one of the same or a higher level."""
    level = heading.index(" ")
    after = text_of(page).split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{level}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of all rows of the tables in a section, heads and rules left out."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in section(page, heading).splitlines()
        if line.startswith("|")
    ]
    rules = [i for i, row in enumerate(rows) if set("".join(row)) <= set("-:")]
    heads = {i - 1 for i in rules} | set(rules)
    return [row for i, row in enumerate(rows) if i not in heads]
