"""A site's file as arrays, by a schema; and a first schema from a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np

from gradwire.common.errors import DataError
from gradwire.worker.data.dataset import Features, Labels
from gradwire.worker.data.own.base import NONE, Format, require_finite
from gradwire.worker.data.own.formats import format_of, require_content
from gradwire.worker.data.own.images import ImagesFormat
from gradwire.worker.data.own.labels import classes_of, in_order
from gradwire.worker.data.own.schema import Schema, schema_of

MOST_CLASSES = 1_000  # of a first schema: a label with more values is more likely the wrong column
FEWEST_ROWS = 20  # by which a column without a repetition looks like an id
WHOLE_NUMBERS = 2.0**24  # from here on float32 does not hold each of them
_WHITE = 255.0  # of a pixel


def read_table(path: Path, schema: Schema) -> tuple[Features, Labels]:
    """Scaled features, float32 [rows, features], and classes, int64 [rows].

    Raises:
        DataError: the file is missing or of another kind, lacks a column, or has a cell or label that cannot be used.
    """
    require_content(path, schema.format)
    table = schema.format.read(path, schema.names, schema.label, schema.gaps)
    classes = classes_of(table, schema.classes, str(path), schema.label)
    features = np.ascontiguousarray(table.features)
    schema.scale(features)
    require_finite(features, schema.names, path, table.where)
    return features, classes


@dataclass(frozen=True)
class FirstSchema:
    """A schema of one file, and what a reviewer should know of it.

    Attributes:
        schema: of the file.
        left_out: columns that are no features, each with the reason.
        like_ids: features with another whole number in each row.
    """

    schema: Schema
    left_out: Mapping[str, str]
    like_ids: tuple[str, ...]


def first_schema(path: Path, label: str = "") -> FirstSchema:
    """A schema with this file's columns, classes and scaling.

    Offset and scale are mean and standard deviation of the file, in six digits. Where a row lacks a feature, the mean
    takes its place.

    Args:
        path: of the file.
        label: name of the label; empty for the last column.

    Raises:
        DataError: the file cannot be read, or its label has too many different values.
    """
    format = format_of(path)
    names, label = format.columns(path, label)
    table = format.read(path, names, label, NONE if format.numbered else frozenset(names))
    there = np.atleast_1d(~np.isnan(table.features).all(axis=0))
    names = tuple(compress(names, there))
    if not names:
        raise DataError(f"{path} has no column of numbers besides {label}: expected at least one feature")
    if len(table.values) > MOST_CLASSES:
        raise DataError(
            f"{path}: {label or 'the label'} has {len(table.values)} different values, expected at most {MOST_CLASSES} "
            "classes: name the label's column with --label"
        )
    if len(table.values) < 2:
        raise DataError(
            f"{path}: {label or 'the label'} has the same value in all rows, expected at least 2 classes: "
            "take a file that has them, or name the label's column with --label"
        )
    for code, value in enumerate(table.values):
        if isinstance(value, float) and not math.isfinite(value):
            row = int((table.codes == code).argmax())
            raise DataError(
                f"{path}, {table.where(row)}: the label {label} is {value}, expected a value; correct or remove the row"
            )
    others = (name for name in format.all_columns(path) if name not in (*names, label))
    left_out = {name: format.remark(path, name) for name in others}
    features = table.features[:, there]
    like_ids = () if format.numbered else _like_ids(features, names)
    try:
        schema = _described(format, names, label, in_order(table.values), features)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return FirstSchema(schema, left_out, like_ids)


def _described(
    format: Format, names: tuple[str, ...], label: str, classes: tuple[str, ...], features: Features
) -> Schema:
    """The schema of these columns, scaled by what they hold."""
    offsets, scales = _standard(features) if format.standardised else ((), ())
    if isinstance(format, ImagesFormat):
        scales = (_WHITE,)
    lacking = np.flatnonzero(np.isnan(features).any(axis=0)).tolist()
    missing = tuple(offset if place in lacking else None for place, offset in enumerate(offsets))
    return schema_of(format, names, label, classes, offsets=offsets, scales=scales, missing=missing)


def _like_ids(features: Features, names: tuple[str, ...]) -> tuple[str, ...]:
    """Columns of whole numbers without a repetition: neighbours beyond float32's whole numbers count as different."""
    return tuple(name for name, column in zip(names, features.T, strict=True) if _like_id(column))


def _like_id(column: Features) -> bool:
    if len(column) < FEWEST_ROWS or (column != np.trunc(column)).any():
        return False
    return len(np.unique(column)) == len(column) or float(np.abs(column).min()) >= WHOLE_NUMBERS


def _standard(features: Features) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each column; 1 where that is 0."""
    mean = np.asarray(np.nanmean(features, axis=0, dtype=np.float64))
    deviation = np.asarray(np.nanstd(features, axis=0, dtype=np.float64))
    deviation[deviation == 0] = 1
    return tuple(float(f"{m:.6g}") for m in mean), tuple(float(f"{d:.6g}") for d in deviation)
