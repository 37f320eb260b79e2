"""NPZ: an array of features [rows, …] and one of labels [rows], as ``numpy.savez`` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import DataError
from gradwire.common.spec import did_you_mean
from gradwire.common.system.memory import require_memory
from gradwire.worker.data.own.base import (
    NONE,
    Format,
    Gaps,
    Table,
    coded,
    numbers,
    parsing,
    require_columns,
    require_finite,
    row_number,
)  # fmt: skip


@dataclass(frozen=True)
class NpzFormat(Format):
    """Two arrays of one file; a sample of several axes is read in C order.

    Attributes:
        x: name of the features' array.
    """

    x: str = "x"

    name = "npz"
    suffixes = (".npz",)
    content = "a ZIP archive"

    @classmethod
    def of(cls, path: Path) -> NpzFormat:
        """With the array ``x``, or where there is none the only one with more than one axis."""
        with _opened(path) as file:
            wide = [] if cls.x in file else [name for name in file if file[name].ndim > 1]
        return cls(wide[0]) if len(wide) == 1 else cls()

    def columns(self, path: Path, label: str) -> tuple[tuple[str, ...], str]:
        with _opened(path) as file:
            features = self._array(path, file, self.x)
            others = [name for name in file if name != self.x]
            label = label or (others[0] if len(others) == 1 else "y")
            self._array(path, file, label)
        return numbers(int(np.prod(features.shape[1:]))), label

    def read(self, path: Path, names: tuple[str, ...], label: str, gaps: Gaps = NONE) -> Table:
        with _opened(path) as file:
            features, labels = self._array(path, file, self.x), self._array(path, file, label)
        if len(features) != len(labels) or not len(features) or labels.ndim != 1:
            raise DataError(
                f"{path}: {self.x} has the shape {list(features.shape)} and {label} {list(labels.shape)}, "
                f"expected one label for each of at least one sample"
            )
        require_columns(int(np.prod(features.shape[1:])), len(names), path)
        with np.errstate(over="ignore"):  # reported as not finite
            x = np.ascontiguousarray(features.reshape(len(features), -1), np.float32)
        require_finite(x, names, path, row_number)
        return Table(x, *coded(labels), row_number)

    def _array(self, path: Path, file: Any, name: str) -> NDArray[Any]:
        if name not in file:
            raise DataError(f"{path} has no array {name!r}{did_you_mean(name, file)}")
        self._require_memory(path, file, name)
        array: NDArray[Any] = file[name]
        if not isinstance(array, np.ndarray):  # NumPy gives the bytes of what has no header
            raise DataError(f"{path}: {name} is no array, expected what numpy.savez writes")
        kinds = "biuf" if name == self.x else "biufU"
        if array.dtype.kind not in kinds or array.ndim < 1:
            raise DataError(
                f"{path}: {name} is {array.dtype} {list(array.shape)}, expected an array of numbers"
            )
        return array

    def _require_memory(self, path: Path, file: Any, name: str) -> None:
        """Refuse an array that is larger unpacked than this machine's memory, before it is unpacked."""
        sizes = {entry.filename: entry.file_size for entry in file.zip.infolist()}
        require_memory(2 * sizes.get(f"{name}.npy", 0), f"the array {name} of {path}")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    # NumPy leaves a file open that it opened and cannot read.
    with parsing(path, "NPZ"), path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        yield file
