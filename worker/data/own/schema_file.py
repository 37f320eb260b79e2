"""Schemas as TOML files.

    format = "csv"
    label = "diagnosis"
    classes = ["B", "M"]
    features = [
      { name = "mean radius", offset = 14.1, scale = 3.52 },
      { name = "mean texture", missing = 19.3 },
    ]

Formats that number their features have ``features = 64`` instead, with ``offset`` and ``scale`` as one number for all
or a list.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from gradwire.common.errors import DataError
from gradwire.common.spec import did_you_mean
from gradwire.worker.data.own.base import Format, numbers
from gradwire.worker.data.own.formats import format_named
from gradwire.worker.data.own.images import ImagesFormat
from gradwire.worker.data.own.schema import LARGEST, Schema, schema_of

_SCALING = {"offset": (int, float), "scale": (int, float)}
_OF_FEATURES = ("name", *_SCALING, "missing")


def read_schema(path: Path) -> Schema:
    """The schema in a file.

    Raises:
        DataError: there is no such file, it is not TOML, or it is no schema.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read the schema {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, too many digits, too deep
        raise DataError(f"the schema {path} is not TOML: {error}") from error
    try:
        return _parsed(values)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _parsed(values: Mapping[str, Any]) -> Schema:
    kind = format_named(_value(values, "format", str))
    format = _format(kind, values)
    known = _known_keys(kind)
    for key in values:
        if key not in known:
            raise DataError(f"unknown key {key!r}{did_you_mean(key, known)}")
    label = _value(values, "label", str) if kind.labelled else ""
    names, offsets, scales, missing = _numbered(format, values) if kind.numbered else _named(values)
    classes = tuple(_value(values, "classes", list))
    for value in classes:
        _checked(value, "a class", (str, int, float, bool))
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"a class is {value}, expected texts or finite numbers")
    return schema_of(format, names, label, classes, offsets=offsets, scales=scales, missing=missing)


def _known_keys(kind: type[Format]) -> set[str]:
    own = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # every format is a dataclass
    scaling = _SCALING if kind.numbered else {}
    label = {"label"} if kind.labelled else set()
    count = set() if issubclass(kind, ImagesFormat) else {"features"}
    return {"format", "classes", *own, *scaling, *label, *count}


def _format(kind: type[Format], values: Mapping[str, Any]) -> Format:
    options = {
        field.name: _checked(values[field.name], field.name, (type(field.default),))
        for field in fields(kind)  # type: ignore[arg-type]
        if field.name in values
    }
    return kind(**options)


Columns = tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...], tuple[float | None, ...]]


def _named(values: Mapping[str, Any]) -> Columns:
    """Names, offsets, scales and what takes the place of missing values, from a list of tables."""
    rows = _value(values, "features", list)
    for row in rows:
        for key in _checked(row, "a feature", (dict,)):
            if key not in _OF_FEATURES:
                raise DataError(f"a feature has the unknown key {key!r}{did_you_mean(key, _OF_FEATURES)}")
    return (
        tuple(_value(row, "name", str) for row in rows),
        tuple(_checked(row.get("offset", 0.0), "offset", (int, float)) for row in rows),
        tuple(_checked(row.get("scale", 1.0), "scale", (int, float)) for row in rows),
        tuple(float(_value(row, "missing", int, float)) if "missing" in row else None for row in rows),
    )


def _numbered(format: Format, values: Mapping[str, Any]) -> Columns:
    count = format.size if isinstance(format, ImagesFormat) else _value(values, "features", int)

    def given(key: str) -> tuple[float, ...]:
        found = values.get(key, [])
        listed = found if isinstance(found, list) else [found]
        return tuple(_checked(value, key, (int, float)) for value in listed)

    return numbers(count), given("offset"), given("scale"), ()


def _value(values: Mapping[str, Any], key: str, *kinds: type) -> Any:
    if key not in values:
        raise DataError(f"{key} is missing")
    return _checked(values[key], key, kinds)


def _checked(value: Any, what: str, kinds: Sequence[type]) -> Any:
    if type(value) not in kinds:
        words = {
            str: "text",
            int: "a number",
            float: "a number",
            list: "a list",
            dict: "a table",
            bool: "a boolean",
        }
        expected = " or ".join(dict.fromkeys(words[kind] for kind in kinds))
        raise DataError(f"{what} is {str(value)[:40]!r}, expected {expected}")
    if type(value) is int and abs(value) > LARGEST:  # no float: Python would not convert it
        raise DataError(f"{what} is {str(value)[:40]}, expected a number that fits into float32")
    return value


def to_toml(schema: Schema) -> str:
    """The text of a file that ``read_schema`` reads back to an equal schema."""
    format = schema.format
    lines = [f"format = {_text(format.name)}"]
    options = asdict(format).items()  # type: ignore[call-overload]
    lines += [f"{key} = {_text(value)}" for key, value in options if value != ""]
    lines += [f"label = {_text(schema.label)}"] if format.labelled else []
    lines += [f"classes = [{', '.join(map(_text, schema.classes))}]"]
    return "\n".join([*lines, *(_scalings(schema) if format.numbered else _rows(schema)), ""])


def _rows(schema: Schema) -> list[str]:
    missing = [f", missing = {v!r}" * (v is not None) for v in schema.missing] or [""] * len(schema.names)
    columns = zip(schema.names, schema.offsets, schema.scales, missing, strict=True)
    rows = (f"  {{ name = {_text(n)}, offset = {o!r}, scale = {s!r}{m} }}," for n, o, s, m in columns)
    return ["features = [", *rows, "]"]


def _scalings(schema: Schema) -> list[str]:
    count = [] if isinstance(schema.format, ImagesFormat) else [f"features = {len(schema.names)}"]
    return [*count, f"offset = {_shortest(schema.offsets)}", f"scale = {_shortest(schema.scales)}"]


def _shortest(values: tuple[float, ...]) -> str:
    return repr(values[0]) if len(set(values)) == 1 else f"[{', '.join(map(repr, values))}]"


def _text(value: str | int) -> str:
    """A TOML value: a JSON string is a TOML one."""
    return json.dumps(value, ensure_ascii=False)
