"""Text that is measured, broken and escaped."""

from __future__ import annotations

from html import unescape
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from gradwire.deploy.report.letters import escaped, shortened, width_of, wrapped


@given(st.text())
def test_escaped_text_is_a_text_of_xml_and_html(text: str) -> None:
    found = escaped(text)
    element = ElementTree.fromstring(f'<a b="{found}">{found}</a>')
    shown = element.text or ""
    # XML reads every line end as \n, and every blank of an attribute as a space.
    assert shown == unescape(found).replace("\r\n", "\n").replace("\r", "\n")
    assert not any(c in found for c in "<>\"'")
    legal = text.replace("\r\n", "\n").replace("\r", "\n")
    assert all(a == b or b == "\ufffd" for a, b in zip(legal, shown, strict=True))


def test_what_xml_forbids_is_replaced() -> None:
    assert escaped("a\x00b\x1b[31m\ud800\uffff") == "a\ufffdb\ufffd[31m\ufffd\ufffd"


@given(st.text(), st.floats(20, 400))
def test_lines_fit(text: str, width: float) -> None:
    assert all(width_of(line, 12) <= width for line in wrapped(text, 12, width))
    assert width_of(shortened(text, 12, width), 12) <= width


def test_words_stay_whole_where_they_fit() -> None:
    assert wrapped("one two three", 10, 10_000) == ["one two three"]
    assert " ".join(wrapped("one two three four five six", 10, 60)) == "one two three four five six"
    assert shortened("short", 10, 100) == "short" and shortened("much too long", 10, 40).endswith("…")


def test_wide_and_combining_letters_are_counted() -> None:
    assert width_of("漢字", 10) > width_of("ab", 10)
    assert width_of("e\u0301", 10) == width_of("e", 10)
