"""Labels as they stand in files, and the classes that they are of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gradwire.common.errors import DataError
from gradwire.worker.data.dataset import Labels
from gradwire.worker.data.own.base import Table

MAX_CLASSES = 10_000
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


def label_text(value: Any) -> str:
    """The one spelling of a label: a number is the same in every notation, and as a text.

    >>> [label_text(value) for value in (1, 1.0, "+1", "1.50", "B", True)]
    ['1', '1', '1', '1.5', 'B', 'true']
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = value.strip()
        return _number_text(float(text)) if _NUMBER.fullmatch(text) else text
    return _number_text(float(value))


def _number_text(number: float) -> str:
    whole = math.isfinite(number) and number == int(number) and abs(number) < 2**53
    return str(int(number)) if whole else repr(number)


def in_order(values: Iterable[Any]) -> tuple[str, ...]:
    """Labels as classes in order: numbers by value, before texts."""
    texts = {label_text(value) for value in values}
    return tuple(
        sorted(texts, key=lambda text: (0, float(text), "") if _NUMBER.fullmatch(text) else (1, 0.0, text))
    )


def classes_of(table: Table, classes: Sequence[str], file: str, label: str) -> Labels:
    """Class numbers of a table's rows, int64 [rows].

    Args:
        table: of the file.
        classes: labels of class 0, 1, ….
        file: names it in the error.
        label: name of the label; empty where it has none.

    Raises:
        DataError: a label that is none of the classes; with the place of the first.
    """
    number = {text: k for k, text in enumerate(classes)}
    found = np.array([number.get(label_text(value), -1) for value in table.values], np.int64)[table.codes]
    if (found < 0).any():
        row = int((found < 0).argmax())
        value = label_text(table.values[table.codes[row]])
        some = ", ".join(classes[:12]) + ", …" * (len(classes) > 12)
        raise DataError(
            f"{file}, {table.where(row)}: the label {label and f'{label} '}is {value[:40]!r}, expected one of {some}; "
            "correct the row, or the classes of every site's schema"
        )
    return found
