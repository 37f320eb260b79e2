"""Text in pictures and pages: how wide it is at most, where it breaks, and how it is escaped."""

from __future__ import annotations

import html
import re
import unicodedata

# Widths in ems of DejaVu Sans, the widest of the fonts that browsers use for user interfaces: an upper bound.
_WIDTHS = (
    (0.33, "iIjl|!'.,:; "),
    (0.42, 'ftr()[]/\\-"`'),
    (0.56, "cksvxyzJ_?*"),
    (0.65, "abdeghnopquEFL0123456789$#\N{EN DASH}"),
    (0.78, "ABCDGHKNOPQRSTUVXYZ"),
)
_WIDTH = {letter: width for width, letters in _WIDTHS for letter in letters}
_WIDEST = 1.0  # letters of other alphabets, and m, w, M, W, =, +, %
_FULL = 1.1  # ideographs
# What XML 1.0 forbids, even as a character reference; error messages of other programs may hold it.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def width_of(text: str, size: float) -> float:
    """An upper bound of the width of a line.

    Args:
        text: the line.
        size: of the font; the result has the same unit.
    """
    return size * sum(_letter(letter) for letter in text)


def _letter(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    known = _WIDTH.get(letter)
    if known is not None:
        return known
    return _FULL if unicodedata.east_asian_width(letter) in "WF" else _WIDEST


def shortened(text: str, size: float, width: float) -> str:
    """The text, or as much of its beginning as fits with an ellipsis."""
    if width_of(text, size) <= width:
        return text
    kept = text
    while kept and width_of(kept + "…", size) > width:
        kept = kept[:-1]
    return kept + "…"


def wrapped(text: str, size: float, width: float) -> list[str]:
    """The text in lines that fit, broken at spaces; a word that is too wide is shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(shortened(word, size, width))
    return lines


def escaped(text: str) -> str:
    """The text for HTML and XML, within elements and within quoted attributes.

    Characters that XML cannot hold, as those of terminal colours, become U+FFFD.
    """
    return html.escape(_ILLEGAL.sub("\ufffd", text))
