"""CSV with a header line: UTF-8, cells separated by a comma, a semicolon or a tab, quoted where necessary.

NumPy parses, in C; where it refuses, or a number is not finite, the file is read again by the csv module, which finds
the line. Blank lines are skipped. Lines are counted from 1, the header's included.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import TextIO

import numpy as np

from gradwire.common.errors import DataError
from gradwire.common.spec import did_you_mean, first_twice
from gradwire.worker.data.own.base import AMEND, NONE, Format, Gaps, Table

SEPARATORS = (",", ";", "\t")
DECIMAL_COMMA = "numbers with a decimal comma, to be saved with a point"
MISSING = ("", "na", "nan")  # in lower case: cells without a value
LOOK_AT = 1_000  # rows that decide which columns hold numbers
MAX_LINE = 1 << 24  # characters: a longer line is no row of 100,000 numbers
_LARGEST = float(np.finfo(np.float32).max)
_ENCODING = "utf-8-sig"  # without the mark that some programs put first


@dataclass(frozen=True)
class CsvFormat(Format):
    """A table with named columns.

    Attributes:
        separator: a comma, a semicolon or a tab; empty: the one that separates the columns in a file's header line.
    """

    separator: str = ""

    name = "csv"
    suffixes = (".csv", ".tsv")
    content = "text"
    numbered = False

    def __post_init__(self) -> None:
        if self.separator not in ("", *SEPARATORS):
            raise DataError(f"the separator is {self.separator!r}, expected a comma, a semicolon or a tab")

    def _fitting(self, path: Path, wanted: set[str]) -> CsvFormat:
        """With the separator by which the header line has the most of the wanted columns, then the most columns."""
        if self.separator:
            return self

        def found(format: CsvFormat) -> tuple[int, int]:
            header = {name.strip() for name in format._first_line(path)[1]}
            return len(header & wanted), len(header)

        return max(map(CsvFormat, SEPARATORS), key=found)

    # ---- columns ---------------------------------------------------------------------------------------------

    def columns(self, path: Path, label: str) -> tuple[tuple[str, ...], str]:
        return self._fitting(path, {label})._columns(path, label)

    def _columns(self, path: Path, label: str) -> tuple[tuple[str, ...], str]:
        header, _ = self._header(path)
        label = label or header[-1]
        self._place(path, header, label)
        with _rows(path, self.separator) as rows:
            some = [row for _, row in islice(rows, 1, LOOK_AT) if len(row) == len(header)]
        cells = dict(zip(header, zip(*some, strict=True), strict=True)) if some else {}
        names = (name for name in header if name != label)
        return tuple(name for name in names if _holds_numbers(cells.get(name, ()))), label

    def all_columns(self, path: Path) -> tuple[str, ...]:
        return tuple(self._fitting(path, set())._header(path)[0])

    def remark(self, path: Path, name: str) -> str:
        format = self._fitting(path, {name})
        place = format._header(path)[0].index(name)
        with _rows(path, format.separator) as rows:
            cells = [row[place] for _, row in islice(rows, 1, LOOK_AT) if place < len(row)]
        return DECIMAL_COMMA if _holds_numbers([cell.replace(",", ".") for cell in cells]) else "not numbers"

    def _first_line(self, path: Path) -> tuple[int, list[str]]:
        with _rows(path, self.separator) as rows:
            return next(rows, (0, []))

    def _header(self, path: Path) -> tuple[list[str], int]:
        """Names of the columns, and the number of lines that they take."""
        line, header = self._first_line(path)
        header = [name.strip() for name in header]
        if not header or not all(header):
            raise DataError(f"{path}, line 1: expected a header line with the name of each column")
        if (twice := first_twice(header)) is not None:
            raise DataError(f"{path}, line 1: two columns are called {twice}; rename one")
        return header, line

    def _place(self, path: Path, header: list[str], name: str) -> int:
        if name not in header:
            fitting = CsvFormat()._fitting(path, {name})
            if name in (found.strip() for found in fitting._first_line(path)[1]):
                raise DataError(
                    f"{path} is separated by {fitting.separator!r}, the schema says {self.separator!r}: "
                    "leave separator out of the schema"
                )
            raise DataError(f"{path} has no column {name!r}{did_you_mean(name, header)}")
        return header.index(name)

    # ---- reading ---------------------------------------------------------------------------------------------

    def read(self, path: Path, names: tuple[str, ...], label: str, gaps: Gaps = NONE) -> Table:
        return self._fitting(path, {*names, label})._read(path, names, label, gaps)

    def _read(self, path: Path, names: tuple[str, ...], label: str, gaps: Gaps) -> Table:
        header, lines = self._header(path)
        places = [self._place(path, header, name) for name in names]
        of_label = self._place(path, header, label)
        codes: dict[str, int] = {}
        converters: dict[int | str, Callable[[str], float]] = {
            place: _ignored for place in range(len(header)) if place not in {*places, of_label}
        }
        converters |= {place: _or_nan for place in places if header[place] in gaps}
        converters[of_label] = lambda text: codes.setdefault(text.strip(), len(codes))
        self._require_rows(path)
        if _has_long_line(path):  # NumPy would take many times its size
            self._explain(path, header, {*names}, label, gaps)
        try:
            cells = np.loadtxt(
                path, np.float32, comments=None, delimiter=self.separator, converters=converters, skiprows=lines,
                ndmin=2, encoding=_ENCODING, quotechar='"',
            )  # fmt: skip
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8 text: save it as UTF-8") from error
        except ValueError as error:
            self._explain(path, header, {*names}, label, gaps)
            raise DataError(f"{path}: {' '.join(str(error).split())}") from error
        sound = np.isfinite(cells)
        for place in (place for place in places if header[place] in gaps and cells.shape[1] == len(header)):
            sound[:, place] |= np.isnan(cells[:, place])
        if cells.shape[1] != len(header) or not sound.all() or "" in codes:
            self._explain(path, header, {*names}, label, gaps)
            raise DataError(f"{path} cannot be read as CSV: a quoted cell may span lines")
        labels = cells[:, of_label].astype(np.int64)
        in_order = places == list(range(len(places))) and len(places) == len(header) - 1
        features = cells[:, :-1] if in_order else cells[:, places]
        return Table(features, labels, list(codes), lambda row: f"line {self._line(path, row)}")

    def _require_rows(self, path: Path) -> None:
        with _rows(path, self.separator) as rows:
            if len(list(islice(rows, 2))) < 2:
                raise DataError(f"{path} has a header line and no rows: expected at least one")

    def _line(self, path: Path, row: int) -> int:
        with _rows(path, self.separator) as rows:
            return next(islice(rows, row + 1, None))[0]

    def _explain(self, path: Path, header: list[str], numbers: set[str], label: str, gaps: Gaps) -> None:
        """Raise what is wrong with the first line that cannot be used, if there is one."""
        with _rows(path, self.separator) as rows:
            for line, row in islice(rows, 1, None):
                if len(row) != len(header):
                    raise DataError(
                        f"{path}, line {line}: {len(row)} columns, expected {len(header)} as in the header line"
                    )
                for name, cell in zip(header, row, strict=True):
                    if name in numbers and not (name in gaps and _is_missing(cell)):
                        fault = _fault(cell)
                    else:
                        fault = "empty; correct or remove the line" * (name == label and not cell.strip())
                    if fault:
                        raise DataError(f"{path}, line {line}: {name} is {fault}")


@contextmanager
def _rows(path: Path, separator: str) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Every row that is not blank, the header first, with the number of its last line."""
    try:
        with path.open(encoding=_ENCODING, newline="") as file:
            reader = csv.reader(_lines(path, file), delimiter=separator)
            yield ((reader.line_num, row) for row in reader if row)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """The file's lines; one that is too long is refused before it is read to its end."""
    for number in count(1):
        line = file.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE:
            raise DataError(
                f"{path}, line {number}: more than {MAX_LINE:,} characters: is it the right file?"
            )
        if not line:
            return
        yield line


def _has_long_line(path: Path) -> bool:
    """Whether a line has so many bytes that a part of the file of ``MAX_LINE`` bytes lies within it."""
    with path.open("rb") as file:
        return any(
            len(part) == MAX_LINE and b"\n" not in part and b"\r" not in part
            for part in iter(partial(file.read, MAX_LINE), b"")
        )


def _ignored(_cell: str) -> float:
    return 0.0


def _fault(cell: str) -> str:
    """Why a cell is no finite float32, and how to correct it; empty where it is one."""
    if _is_missing(cell):
        return f"{cell.strip() or 'empty'}, expected a number; {AMEND.format('line')}"
    number = _number(cell)
    if number is None:
        comma = _number(cell.replace(",", ".")) is not None
        point = " with a decimal point" * comma
        return f"{cell[:40]!r}, expected a number{point}; correct or remove the line"
    if abs(number) <= _LARGEST:
        return ""
    return f"{cell.strip()[:40]}, expected a finite number; correct or remove the line"


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING


def _or_nan(cell: str) -> float:
    if _is_missing(cell):
        return math.nan
    number = _number(cell)
    if number is None:
        raise ValueError(f"{cell[:40]!r} is no number")
    return number


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _holds_numbers(cells: Sequence[str]) -> bool:
    """Whether more than half of the cells that are there are numbers: one that is not is then a fault, not a text."""
    there = [cell for cell in cells if not _is_missing(cell)]
    return 2 * sum(_number(cell) is not None for cell in there) > len(there)
