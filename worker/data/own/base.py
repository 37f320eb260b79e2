"""The contract of a reader of own files, and what all of them check."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import DataError, GradwireError
from gradwire.worker.data.dataset import Features

MAX_FEATURES = 100_000
Gaps = frozenset[str]
NONE: Gaps = frozenset()
AMEND = "correct or remove the {}, or give the feature a value `missing` in the schema"


@dataclass(frozen=True, eq=False)
class Table:
    """What a file holds, before labels are classes and features are scaled.

    Attributes:
        features: float32 [rows, features], finite, or NaN where a row may lack one.
        codes: place of each row's label in ``values``, int64 [rows].
        values: the different labels: texts or numbers.
        where: from a row's place to words that find it in the file, such as "line 7".
    """

    features: Features
    codes: NDArray[np.int64]
    values: Sequence[Any]
    where: Callable[[int], str]


class Format(ABC):
    """A kind of file and its options, from a schema: a frozen dataclass whose fields are the options.

    Attributes:
        name: in schemas.
        suffixes: of files that are taken to be of this kind, in lower case.
        content: what ``content_of`` finds in such files.
        numbered: features are numbered from 1; else they have names.
        labelled: the label has a name in the file.
        standardised: a first schema scales by the file's mean and standard deviation.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    content: ClassVar[str]
    numbered: ClassVar[bool] = True
    labelled: ClassVar[bool] = True
    standardised: ClassVar[bool] = True

    @classmethod
    def of(cls, path: Path) -> Format:
        """The format with the options that fit a file.

        Raises:
            DataError: it cannot be read.
        """
        return cls()

    @abstractmethod
    def columns(self, path: Path, label: str) -> tuple[tuple[str, ...], str]:
        """Names of the features and of the label in a file, for those who have no schema yet.

        Args:
            path: of the file.
            label: name of the label; empty for the usual one of the format.

        Raises:
            DataError: the file is not of this kind, or has no such label.
        """

    @abstractmethod
    def read(self, path: Path, names: tuple[str, ...], label: str, gaps: Gaps = NONE) -> Table:
        """Read the features with these names, in this order, and the labels.

        Args:
            path: of the file.
            names: of the features.
            label: name of the label; empty where the format has none.
            gaps: features that may be missing in a row: then they are NaN. Only formats with named columns have any.

        Raises:
            DataError: the file is not of this kind, lacks one of them, or holds something else than finite numbers.
        """

    def all_columns(self, path: Path) -> tuple[str, ...]:
        """Names of all columns of a file; none where features are numbered."""
        return ()

    def remark(self, path: Path, name: str) -> str:
        """Why a column is no feature of a first schema, in words."""
        return "not numbers"

    def described(self) -> tuple[str, ...]:
        """Lines for the canonical text of a schema: options that change what is trained."""
        return ()


def numbers(count: int) -> tuple[str, ...]:
    """Names of numbered features: 1, 2, ….

    Raises:
        DataError: none, or too many.
    """
    if not 1 <= count <= MAX_FEATURES:
        raise DataError(f"there are {count} features, expected 1 to {MAX_FEATURES}")
    return tuple(map(str, range(1, count + 1)))


def row_number(row: int) -> str:
    """Rows counted from 1."""
    return f"row {row + 1}"


def require_finite(
    features: NDArray[Any], names: Sequence[str], path: Path, where: Callable[[int], str], gaps: Gaps = NONE
) -> None:
    """Refuse features that are not finite.

    Args:
        features: [rows, columns].
        names: of the columns.
        path: of the file, for errors.
        where: from a row to words that find it in the file.
        gaps: columns that may hold NaN.

    Raises:
        DataError: with file, row and column of the first.
    """
    bad = ~np.isfinite(features)
    for column, name in enumerate(names):
        if name in gaps:
            bad[:, column] &= ~np.isnan(features[:, column])
    if bad.any():
        row, column = divmod(int(bad.argmax()), bad.shape[1])
        value = features[row, column]
        raise DataError(
            f"{path}, {where(row)}: {names[column]} is {value}, expected a finite number; correct or remove the row"
        )


def require_columns(found: int, expected: int, path: Path) -> None:
    """Refuse another number of features.

    Raises:
        DataError: it differs.
    """
    if found != expected:
        raise DataError(f"{path} has {found} features, expected {expected}: is it the right file?")


def coded(labels: NDArray[Any]) -> tuple[NDArray[np.int64], list[Any]]:
    """Labels as places among the different ones, and those."""
    values, codes = np.unique(labels, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), values.tolist()


@contextmanager
def parsing(path: Path, kind: str) -> Iterator[None]:
    """Around another library's parser, whose exceptions for a damaged file are of every type.

    Args:
        path: of the file.
        kind: what it is read as, in words.

    Raises:
        DataError: it raised one that is not gradwire's.
    """
    try:
        yield
    except GradwireError:
        raise
    except MemoryError as error:
        raise DataError(f"{path} takes more memory as {kind} than there is: is it damaged?") from error
    except Exception as error:
        words = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise DataError(f"cannot read {path} as {kind}: {words}; replace it") from error


_MAGIC = ((b"PK\x03\x04", "a ZIP archive"), (b"PAR1", "a Parquet file"), (b"\x1f\x8b", "a gzip file"))


def content_of(path: Path) -> str:
    """What a path is, in words: "a folder", "text", "a ZIP archive", ….

    Raises:
        DataError: there is nothing, it cannot be read, or it is empty.
    """
    if path.is_dir():
        return "a folder"
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise DataError(f"{path} is empty, expected data")
    for magic, words in _MAGIC:
        if start.startswith(magic):
            return words
    return "a binary file" if b"\0" in start else "text"
