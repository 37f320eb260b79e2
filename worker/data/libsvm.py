"""LIBSVM text, two classes: lines such as ``-1 3:1 11:0.5``, features numbered from 1 and ascending.

scikit-learn parses; the lines are checked first, because its messages have no line number and it accepts nan and inf.
"""

from __future__ import annotations

import io
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import DataError
from gradwire.worker.data.dataset import Arrays, Features, Labels
from gradwire.worker.data.files import read_unpacked

MAX_FEATURES = 100_000  # a dense row of more is a damaged index, not a data set for this reader

_LINE = re.compile(
    rb"[+-]?1(?:\.0*)?(?:[ \t]+[1-9]\d{0,8}:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?)*[ \t]*"
)


def _check_lines(lines: list[bytes], name: str) -> None:
    for number, line in enumerate(lines, 1):
        if _LINE.fullmatch(line) is None:
            start = line[:40].decode("ascii", "replace")
            raise DataError(
                f"{name}, line {number}: cannot read {start!r}; expected a label +1 or -1 and index:value pairs"
            )


def check_order(lines: list[bytes], name: str, most: int = MAX_FEATURES) -> None:
    """Refuse lines, well-formed otherwise, whose feature numbers do not ascend or are above ``most``.

    Raises:
        DataError: with the number of the first.
    """
    for number, line in enumerate(lines, 1):
        indices = [int(pair.split(b":")[0]) for pair in line.partition(b"#")[0].split()[1:]]
        if any(b <= a for a, b in pairwise(indices)):
            raise DataError(f"{name}, line {number}: the feature numbers do not ascend; sort the pairs")
        if indices and indices[-1] > most:
            raise DataError(f"{name}, line {number}: feature {indices[-1]}, expected at most {most}")


def parse_libsvm(content: bytes, name: str) -> tuple[Features, Labels]:
    """Features [n, largest index] and classes [n], 1 for the label +1 and 0 for -1.

    Raises:
        DataError: a line is malformed (the message has the number of the first), or there is none.
    """
    from sklearn.datasets import load_svmlight_file  # slow to import, and most runs never parse text

    lines = content.splitlines()
    if not lines:
        raise DataError(f"{name} is empty, expected LIBSVM text")
    _check_lines(lines, name)
    try:
        sparse, labels = load_svmlight_file(io.BytesIO(content), dtype=np.float32, zero_based=False)
    except ValueError as error:
        check_order(lines, name)
        raise DataError(f"{name}: {error}") from error
    if sparse.shape[1] > MAX_FEATURES:
        check_order(lines, name)
    features = np.ascontiguousarray(sparse.toarray(), np.float32)
    overflown = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(overflown):
        raise DataError(
            f"{name}, line {overflown[0] + 1}: a value is beyond float32, expected at most 3.4e38"
        )
    return features, (labels > 0).astype(np.int64)


def fit_width(features: Features, dim: int) -> Features:
    """Rows cut or zero-padded to ``dim`` features.

    The training file fixes the dimension: a feature of the test file alone has no weight (a5a trains on 122 features
    and tests on 123), and one that the test file lacks is zero (a9a, the other way round).
    """
    fitted: NDArray[np.float32] = np.zeros((len(features), dim), np.float32)
    width = min(dim, features.shape[1])
    fitted[:, :width] = features[:, :width]
    return fitted


def read_libsvm_folder(folder: Path) -> Arrays:
    """Both splits of the data set whose name the folder has: ``a9a/a9a`` and ``a9a/a9a.t``."""
    train, test = folder / folder.name, folder / f"{folder.name}.t"
    x_train, y_train = parse_libsvm(read_unpacked(train), train.name)
    x_test, y_test = parse_libsvm(read_unpacked(test), test.name)
    return x_train, y_train, fit_width(x_test, x_train.shape[1]), y_test
