"""Parquet, read by pyarrow: the extra ``gradwire[parquet]``."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import DataError
from gradwire.common.spec import did_you_mean
from gradwire.worker.data.own.base import (
    AMEND,
    NONE,
    Format,
    Gaps,
    Table,
    coded,
    parsing,
    require_finite,
    row_number,
)


@dataclass(frozen=True)
class ParquetFormat(Format):
    """A table with named columns, read column by column."""

    name = "parquet"
    suffixes = (".parquet", ".pq")
    content = "a Parquet file"
    numbered = False

    def columns(self, path: Path, label: str) -> tuple[tuple[str, ...], str]:
        import pyarrow.types as types

        schema = _opened(path).schema_arrow
        if not schema.names:
            raise DataError(f"{path} has no columns, expected features and a label")
        label = label or schema.names[-1]
        _require_column(path, schema.names, label)
        fields = (schema.field(place) for place in range(len(schema.names)))
        numeric = (types.is_integer, types.is_floating, types.is_boolean)
        return tuple(
            field.name
            for field in fields
            if field.name != label and any(test(field.type) for test in numeric)
        ), label

    def all_columns(self, path: Path) -> tuple[str, ...]:
        return tuple(_opened(path).schema_arrow.names)

    def read(self, path: Path, names: tuple[str, ...], label: str, gaps: Gaps = NONE) -> Table:
        file = _opened(path)
        for name in (*names, label):
            _require_column(path, file.schema_arrow.names, name)
        if not file.metadata.num_rows:
            raise DataError(f"{path} has no rows: expected at least one")
        features = np.empty((file.metadata.num_rows, len(names)), np.float32)
        for place, name in enumerate(names):
            column = _column(path, file, name, name in gaps)
            if column.dtype.kind not in "biuf":
                raise DataError(f"{path}: {name} is {column.dtype}, expected a column of numbers")
            with np.errstate(over="ignore"):  # reported as not finite
                features[:, place] = column
        require_finite(features, names, path, row_number, gaps)
        return Table(features, *coded(_column(path, file, label)), row_number)


def _opened(path: Path) -> Any:
    if find_spec("pyarrow") is None:
        raise DataError("Parquet files need pyarrow: install it with pip install 'gradwire[parquet]'")
    import pyarrow.parquet

    with parsing(path, "Parquet"):
        return pyarrow.parquet.ParquetFile(path)


def _require_column(path: Path, names: list[str], name: str) -> None:
    if names.count(name) > 1:
        raise DataError(f"{path} has two columns called {name!r}; rename one")
    if name not in names:
        raise DataError(f"{path} has no column {name!r}{did_you_mean(name, names)}")


def _column(path: Path, file: Any, name: str, gaps: bool | None = None) -> NDArray[Any]:
    """A column as an array; ``gaps`` says whether a feature may be missing in a row, and is None for the label."""
    _require_plain(path, file, name)
    with parsing(path, "Parquet"):
        column = file.read(columns=[name]).column(0)
    if column.null_count and not gaps:
        row = column.is_null().index(True).as_py()
        amend = "correct or remove the row" if gaps is None else AMEND.format("row")
        raise DataError(f"{path}, {row_number(row)}: {name} is empty, expected a value; {amend}")
    with parsing(path, "Parquet"):
        array: NDArray[Any] = column.to_numpy()
        return array.astype(str) if array.dtype.kind == "O" else array


def _require_plain(path: Path, file: Any, name: str) -> None:
    """Refuse a column of anything but numbers and texts: lists, structures, dates, bytes."""
    import pyarrow.types as types

    kind = file.schema_arrow.field(name).type
    inner = kind.value_type if types.is_dictionary(kind) else kind
    plain = (
        types.is_integer, types.is_floating, types.is_boolean, types.is_string, types.is_large_string,
        types.is_decimal, types.is_null,
    )  # fmt: skip
    if not any(test(inner) for test in plain):
        raise DataError(f"{path}: {name} is {str(kind)[:40]}, expected a column of numbers or texts")
