"""LIBSVM text with any numeric labels: lines such as ``3 1:0.5 7:1``, features numbered from 1 and ascending.

scikit-learn parses. Its messages have no line number and it accepts nan and inf, so the lines are checked first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradwire.common.errors import DataError
from gradwire.common.system.memory import require_memory
from gradwire.worker.data.libsvm import check_order
from gradwire.worker.data.own.base import NONE, Format, Gaps, Table, coded, numbers, require_finite

_NUMBER = rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?"
_LINE = re.compile(rb"%b(?:[ \t]+[1-9]\d{0,8}:%b)*[ \t]*(?:#.*)?" % (_NUMBER, _NUMBER))


@dataclass(frozen=True)
class LibsvmFormat(Format):
    """Sparse features in a file, dense in memory: those that a line leaves out are 0."""

    name = "libsvm"
    suffixes = (".svm", ".libsvm", ".svmlight")
    content = "text"
    labelled = False
    standardised = False  # an offset would leave no zeros

    def columns(self, path: Path, label: str) -> tuple[tuple[str, ...], str]:
        if label:
            raise DataError(f"the label of {path} is the first number of each line: leave --label out")
        largest = (int(pairs[-1].split(b":")[0]) for line in _lines(path) if (pairs := line.split()[1:]))
        return numbers(max(largest, default=0)), ""

    def read(self, path: Path, names: tuple[str, ...], label: str, gaps: Gaps = NONE) -> Table:
        from sklearn.datasets import load_svmlight_file  # slow to import

        lines = _lines(path)
        for number, line in enumerate(lines, 1):
            pairs = line.split()
            if len(pairs) > 1 and (last := int(pairs[-1].split(b":")[0])) > len(names):
                raise DataError(f"{path}, line {number}: feature {last}, expected at most {len(names)}")
        require_memory(4 * len(lines) * len(names), f"the features of {path}")
        try:
            sparse, labels = load_svmlight_file(
                str(path), n_features=len(names), dtype=np.float32, zero_based=False
            )
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error
        features = np.ascontiguousarray(sparse.toarray(), np.float32)
        require_finite(features, names, path, _line_number)
        return Table(features, *coded(labels.astype(np.float64)), _line_number)


def _lines(path: Path) -> list[bytes]:
    """The file's lines, each of them checked."""
    lines = path.read_bytes().splitlines()
    for number, line in enumerate(lines, 1):
        if _LINE.fullmatch(line) is None:
            start = line[:40].decode("ascii", "replace")
            raise DataError(
                f"{path}, line {number}: cannot read {start!r}; expected a label and index:value pairs"
            )
    if not lines:
        raise DataError(f"{path} is empty, expected LIBSVM text")
    check_order(lines, str(path))
    return [line.partition(b"#")[0] for line in lines]


def _line_number(row: int) -> str:
    return f"line {row + 1}"
