"""Pages: whole, self-contained, escaped, and named for screen readers."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from gradwire.common.errors import ConfigError
from gradwire.deploy.report.document import Document, Section, Table
from gradwire.deploy.report.html import page
from gradwire.deploy.report.markdown import charts_of
from gradwire.deploy.report.numbers import MOST_ROWS
from tests.deploy.report.samples import CURVES, DOCUMENT, NASTY

VOID = {"meta", "link"}
PLAIN = Document("Plain", "", [Section("One", ["Text."]), Section("Two", [CURVES])])


class Tree(HTMLParser):
    """Every element with its attributes; checks that they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module", params=[[DOCUMENT], [DOCUMENT, PLAIN, PLAIN]], ids=["one", "three"])
def written(request: pytest.FixtureRequest) -> str:
    return page(request.param)


def test_its_elements_are_nested_and_their_names_are_its_own(written: str) -> None:
    tree = Tree(written)
    names = Counter(attributes["id"] for _, attributes in tree.found if "id" in attributes)
    assert max(names.values()) == 1
    for _, attributes in tree.found:
        assert set(attributes.get("aria-labelledby", "").split()) <= names.keys()
    links = [attributes["href"] for attributes in tree.all("a")]
    assert links and {link.removeprefix("#") for link in links} <= names.keys()


def test_it_asks_for_nothing_and_its_policy_forbids_it(written: str) -> None:
    tree = Tree(written)
    assert not tree.all("script") and not tree.all("img") and not tree.all("iframe")
    assert [link["href"] for link in tree.all("link")] == ["data:,"]
    assert not any(
        name.startswith("on") or name in ("src", "style") for _, found in tree.found for name in found
    )
    assert set(re.findall(r"https?://[^\"' <]+", written)) == {"http://www.w3.org/2000/svg"}
    (style,) = re.findall(r"<style>(.*?)</style>", written, re.DOTALL)
    assert "url(" not in style and "@import" not in style
    (policy,) = (meta["content"] for meta in tree.all("meta") if meta.get("http-equiv"))
    known = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{known}'"]


def test_what_users_write_is_text(written: str) -> None:
    assert "<script" not in written and "\x00" not in written and "\x1b" not in written
    shown = NASTY.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    assert "".join(Tree(written).text).count(shown) > 12


def test_its_landmarks_and_headings_are_in_order(written: str) -> None:
    tree = Tree(written)
    assert [len(tree.all(tag)) for tag in ("html", "main", "nav", "h1", "header")] == [1] * 5
    assert tree.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in tree.found if re.fullmatch(r"h\d", tag)]
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_every_picture_has_a_name_and_its_numbers(written: str) -> None:
    tree = Tree(written)
    pictures = tree.all("svg")
    assert len(pictures) % 2 == 0 and all(p["role"] == "img" and p["aria-labelledby"] for p in pictures)
    assert [p["class"] for p in pictures[:2]] == ["chart wide", "chart narrow"]
    assert len(tree.all("details")) == len(tree.all("summary")) == len(pictures) // 2


def test_every_table_has_a_caption_and_heads_and_is_reached_by_the_keyboard(written: str) -> None:
    tree = Tree(written)
    tables = len(tree.all("table"))
    regions = [div for div in tree.all("div") if div.get("class") == "scroll"]
    assert tables == len(tree.all("caption")) == len(regions)
    assert all(div["tabindex"] == "0" and div["role"] == "region" for div in regions)
    assert {head["scope"] for head in tree.all("th")} == {"row", "col"}


def test_the_same_documents_give_the_same_bytes() -> None:
    assert page([DOCUMENT]) == page([Document.from_json(DOCUMENT.to_json())])


def test_a_page_needs_a_document() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        page([])


def test_code_and_paragraphs() -> None:
    text = "First `a<b>`.\n\nSecond."
    written = page([Document("T", "", [Section("S", [text, Table("t", ["`c`"], [["`d`"]])])])])
    assert "<p>First <code>a&lt;b&gt;</code>.</p><p>Second.</p>" in written
    assert "<code>c</code></th>" in written and "<code>d</code></th>" in written


def test_a_long_chart_has_a_short_table() -> None:
    written = page([PLAIN])
    assert f"{len(CURVES.series[0].x):,} rows" in written and written.count("<tr>") <= MOST_ROWS + 1
    assert charts_of(PLAIN) == [CURVES]
