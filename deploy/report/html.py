"""Documents as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from itertools import count

from gradwire.common.errors import ConfigError
from gradwire.deploy.report.document import Document, Section
from gradwire.deploy.report.letters import escaped
from gradwire.deploy.report.page_style import page_style
from gradwire.deploy.report.parts import Key, inline_html, parts_html


def page(documents: Sequence[Document]) -> str:
    """A page of one document, or of several one below the other.

    Everything that comes from a document is escaped, and the page's policy forbids what it does not have: scripts,
    and connections of every kind. The same documents give the same bytes.

    Raises:
        ConfigError: there is no document.
    """
    if not documents:
        raise ConfigError("a page has at least one document")
    numbers = count(1)

    def key(prefix: str) -> str:
        return f"{prefix}{next(numbers)}"

    title = (
        documents[0].title if len(documents) == 1 else f"{documents[0].title}, and {len(documents) - 1} more"
    )
    anchors = [[f"s{i}-{j}" for j in range(len(each.sections))] for i, each in enumerate(documents)]
    parts = [*_opening(title), *_contents(documents, anchors), '<main id="content">']
    for number, (document, places) in enumerate(zip(documents, anchors, strict=True)):
        parts += _document(document, places, number, key, alone=len(documents) == 1)
    return "\n".join([*parts, "</main></div></div></body></html>", ""])


def _opening(title: str) -> Iterator[str]:
    style = page_style()
    known = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{known}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
    yield f"<title>{escaped(title)}</title><style>{style}</style></head>"
    yield '<body><a class="skip" href="#content">Skip to the content</a><div class="frame">'


def _contents(documents: Sequence[Document], anchors: Sequence[Sequence[str]]) -> Iterator[str]:
    """The header, and links to the sections; to the documents where there are several."""
    if len(documents) == 1:
        yield _header(documents[0])
        links = [(a, s.title) for a, s in zip(anchors[0], documents[0].sections, strict=True)]
    else:
        titles = "".join(f"<li>{escaped(each.title)}</li>" for each in documents)
        yield f'<header><h1>{len(documents)} reports</h1><ul class="about">{titles}</ul></header>'
        links = [(f"d{i}", each.title) for i, each in enumerate(documents)]
    listed = "".join(f'<li><a href="#{anchor}">{escaped(title)}</a></li>' for anchor, title in links)
    yield f'<div class="columns"><nav aria-label="Contents"><ul>{listed}</ul></nav>'


def _header(document: Document) -> str:
    about = f'<p class="about">{inline_html(document.about)}</p>' if document.about else ""
    return f"<header><h1>{escaped(document.title)}</h1>{about}</header>"


def _document(
    document: Document, anchors: Sequence[str], number: int, key: Key, *, alone: bool
) -> Iterator[str]:
    """Its sections and facts; its title too where it is one of several."""
    level = 2 if alone else 3
    if not alone:
        about = f'<p class="about">{inline_html(document.about)}</p>' if document.about else ""
        yield f'<article aria-labelledby="d{number}"><h2 id="d{number}">{escaped(document.title)}</h2>{about}'
    for anchor, section in zip(anchors, document.sections, strict=True):
        yield from _section(section, anchor, level, key)
    if document.facts:
        yield f"<footer>{_facts(document)}</footer>"
    if not alone:
        yield "</article>"


def _section(section: Section, anchor: str, level: int, key: Key) -> Iterator[str]:
    yield f'<section aria-labelledby="{anchor}"><h{level} id="{anchor}">{escaped(section.title)}</h{level}>'
    yield from parts_html(section.parts, key)
    yield "</section>"


def _facts(document: Document) -> str:
    facts = "".join(
        f"<dt>{escaped(name)}</dt><dd>{inline_html(value)}</dd>" for name, value in document.facts.items()
    )
    return f'<dl class="facts">{facts}</dl>'
