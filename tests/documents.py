"""Reading the project's pages: their blocks, links, commands and headings."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
GENERATED = {"codecs.md", "commands.md"}
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "examples" / "README.md")
    if path.name not in GENERATED
)

_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^>]*?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PROMPT = re.compile(r"^(?:[\w.]+)?\$ (.*)$")


class Block(NamedTuple):
    """A fenced block: what the comment on the line before it says, its language, its text."""

    mark: str
    kind: str
    text: str


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> list[Block]:
    return [Block(m["mark"] or "", m["kind"], m["text"]) for m in _BLOCK.finditer(read(path))]


def prose(path: Path) -> str:
    """A page without its fenced blocks."""
    return _BLOCK.sub("", read(path))


def links(path: Path) -> list[str]:
    """Link targets that are not addresses on the web."""
    return [target for target in _LINK.findall(prose(path)) if not re.match(r"[a-z]+:", target)]


def anchors(path: Path) -> set[str]:
    """The anchors of a page: those of its headings, as GitHub makes them, and those set by hand."""
    text = prose(path)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)">', text))


def typed(block: Block) -> list[str]:
    """The command lines that a console block shows after its prompts."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [found[1] for line in lines if (found := _PROMPT.match(line))]


def commands(path: Path) -> Iterator[list[str]]:
    """The words of every `gradwire` command on a page, in console blocks and inline, after the program's name."""
    shown = [line for block in blocks(path) if block.kind == "console" for line in typed(block)]
    for line in [*shown, *re.findall(r"`(gradwire [^`\n]+)`", prose(path))]:
        words = shlex.split(line, comments=True)
        at = next((i for i, word in enumerate(words) if word.rpartition("/")[2] == "gradwire"), None)
        if at is not None:
            yield words[at + 1 :]
