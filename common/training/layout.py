"""The layout of a model: the names, shapes, dtypes and roles of its arrays.

Codecs, optimizers, log and downlinks see one flat float32 vector: the ``trained`` arrays of the layout in order, then
the ``averaged`` ones. ``constant`` arrays are not part of it. A run's layout is fixed with its initial model; both ends
compare its fingerprint at every join.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from functools import cached_property
from itertools import zip_longest
from typing import Any

from numpy.typing import NDArray

from gradwire.common.errors import LayoutError
from gradwire.common.spec import fingerprint, first_twice

MAX_ARRAYS = 65_536
MAX_LAYOUT_BYTES = 4 << 20  # of a layout on the wire
MAX_NAME = 512  # characters
MAX_RANK = 64  # axes
_MOST_SHOWN = 160  # characters of a line of a schema, in errors
DIGEST_BYTES = 16  # of a constant array

_HIDDEN = "fingerprint "  # begins what stands in place of a schema

DTYPES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1,
    "uint8": 1, "bool": 1,
}  # fmt: skip
FLOATS = ("float64", "float32", "float16", "bfloat16")


class Role(Enum):
    """What a run does with an array.

    TRAINED: stepped by the server's optimizer. AVERAGED: running statistics, which travel as differences through
    float32 and are stepped with rate 1. CONSTANT: never changes; its digest must agree at every process.
    """

    TRAINED = "trained"
    AVERAGED = "averaged"
    CONSTANT = "constant"


@dataclass(frozen=True)
class LayoutArray:
    """One array of a model.

    Attributes:
        name: as in the user's module, without the prefixes of wrappers.
        shape: lengths of its axes; () for a scalar.
        dtype: one of ``DTYPES``: that of the user's module. Trained and averaged arrays travel as float32.
        role: see ``Role``.
        digest: of a constant array, ``constant_digest`` of its bytes; else empty.
        aliases: further names of the same array, of tied parameters.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    role: Role = Role.TRAINED
    digest: bytes = b""
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.name, *self.aliases):
            if not name.isprintable() or not 1 <= len(name) <= MAX_NAME:
                raise LayoutError(
                    f"an array is called {name[:40]!r}, expected 1 to {MAX_NAME} printable characters"
                )
        if self.dtype not in DTYPES:
            raise LayoutError(f"{self.name} is {self.dtype[:40]!r}, expected one of {', '.join(DTYPES)}")
        if self.role is not Role.CONSTANT and self.dtype not in FLOATS:
            raise LayoutError(f"{self.name} is {self.role.value} and {self.dtype}, expected a floating dtype")
        if len(self.shape) > MAX_RANK or min(self.shape, default=0) < 0:
            raise LayoutError(
                f"{self.name} has the shape {list(self.shape)[:8]}, expected lengths of at least 0"
            )
        if bool(self.digest) != (self.role is Role.CONSTANT):
            raise LayoutError(
                f"{self.name} is {self.role.value}: a digest belongs to constant arrays, to all of them"
            )
        if self.digest and len(self.digest) != DIGEST_BYTES:
            raise LayoutError(
                f"{self.name} has a digest of {len(self.digest)} bytes, expected {DIGEST_BYTES}"
            )

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the array in its own dtype."""
        return self.size * DTYPES[self.dtype]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {list(self.shape)} {self.role.value}"


@dataclass(frozen=True)
class Layout:
    """The arrays of a model in the order of the flat vector: trained, averaged, constant.

    Attributes:
        arrays: at least one of them trained.
        schema: canonical text of the columns, classes and scaling of the data; empty where the task has none.

    Raises:
        LayoutError: no trained coordinate, two arrays of one name, roles out of order, or more than the limits allow.
    """

    arrays: tuple[LayoutArray, ...]
    schema: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if len(self.arrays) > MAX_ARRAYS:
            raise LayoutError(f"the model has {len(self.arrays)} arrays, at most {MAX_ARRAYS} are taken")
        roles = list(Role)
        order = [roles.index(array.role) for array in self.arrays]
        if order != sorted(order):
            raise LayoutError("the arrays are not in the order trained, averaged, constant")
        if not self.trained:
            raise LayoutError("the model has no trained parameters, expected at least one")
        names = [name for array in self.arrays for name in (array.name, *array.aliases)]
        if (twice := first_twice(names)) is not None:
            raise LayoutError(f"two arrays of the model are called {twice[:40]}")

    @classmethod
    def flat(cls, dim: int) -> Layout:
        """The layout of a model that is one vector of ``dim`` parameters."""
        return cls((LayoutArray("parameters", (dim,)),))

    # ---- sizes -----------------------------------------------------------------------------------------------

    @cached_property
    def trained(self) -> int:
        """Coordinates that the optimizer steps."""
        return self._count(Role.TRAINED)

    @cached_property
    def averaged(self) -> int:
        """Coordinates of running statistics, at the end of the vector."""
        return self._count(Role.AVERAGED)

    @property
    def dim(self) -> int:
        """Length of the flat vector."""
        return self.trained + self.averaged

    @property
    def constants(self) -> tuple[LayoutArray, ...]:
        """The constant arrays."""
        return tuple(array for array in self.arrays if array.role is Role.CONSTANT)

    def _count(self, role: Role) -> int:
        return sum(array.size for array in self.arrays if array.role is role)

    # ---- the flat vector -------------------------------------------------------------------------------------

    def views(self, vector: NDArray[Any]) -> Iterator[tuple[LayoutArray, NDArray[Any]]]:
        """The trained and averaged arrays inside a flat vector [dim], without copying."""
        at = 0
        for array in self.arrays:
            if array.role is not Role.CONSTANT:
                yield array, vector[at : at + array.size].reshape(array.shape)
                at += array.size

    # ---- comparing -------------------------------------------------------------------------------------------

    def with_schema(self, schema: str) -> Layout:
        """The same arrays with the schema of the data."""
        return replace(self, schema=schema)

    def with_hidden_schema(self) -> Layout:
        """The same arrays with a fingerprint for a schema: its scaling may be statistics of one site's rows."""
        if not self.schema or self.hides_schema:
            return self
        return self.with_schema(f"{_HIDDEN}{fingerprint(self.schema).hex()}")

    @property
    def hides_schema(self) -> bool:
        """Whether the schema is only a fingerprint."""
        return self.schema.startswith(_HIDDEN)

    @cached_property
    def fingerprint(self) -> bytes:
        """16 bytes that are equal when, and only when, two layouts are."""
        return fingerprint(f"layout {self.to_json()}")

    def difference(self, other: Layout) -> str | None:
        """The first difference to another layout, in words: "here … there …"; None where they are equal.

        A schema that one of them hides is compared by its fingerprint.
        """
        if self.schema and other.schema and self.hides_schema != other.hides_schema:
            return self.with_hidden_schema().difference(other.with_hidden_schema())
        if self.schema != other.schema:
            return _schema_difference(self.schema, other.schema)
        for mine, theirs in zip_longest(self.arrays, other.arrays):
            if mine == theirs:
                continue
            if mine is not None and theirs is not None and _described(mine) == _described(theirs):
                return f"the values of the constant array {mine.name} differ"
            return f"{_described(mine)} here, {_described(theirs)} there"
        return None

    # ---- as text ---------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """Canonical text: ``from_json`` reads it back to an equal layout."""
        rows = [_row(array) for array in self.arrays]
        return json.dumps({"arrays": rows, "schema": self.schema}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Read back what ``to_json`` wrote.

        Raises:
            LayoutError: it is something else.
        """
        try:
            parsed = json.loads(text)
            arrays = tuple(_array(row) for row in parsed["arrays"])
            schema = str(parsed["schema"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise LayoutError("the text is not a layout: it is damaged, or of another release") from error
        return cls(arrays, schema=schema)


def constant_digest(data: bytes | memoryview) -> bytes:
    """16 bytes that identify the values of a constant array: BLAKE2b of its little-endian bytes, in C order."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES, person=b"gradwire-array").digest()


def _row(array: LayoutArray) -> dict[str, Any]:
    return {**asdict(array), "role": array.role.value, "digest": array.digest.hex()}


def _array(row: Mapping[str, Any]) -> LayoutArray:
    return LayoutArray(
        str(row["name"]),
        tuple(int(length) for length in row["shape"]),
        str(row["dtype"]),
        Role(row["role"]),
        bytes.fromhex(row["digest"]),
        tuple(map(str, row["aliases"])),
    )


def _described(array: LayoutArray | None) -> str:
    if array is None:
        return "no further array"
    return str(array) + "".join(f" = {alias}" for alias in array.aliases)


def _schema_difference(here: str, there: str) -> str:
    """The first line that differs between two schemas."""
    if not here or not there:
        return f"the data have {'a' if here else 'no'} schema here, {'one' if there else 'none'} there"
    pairs = zip_longest(here.splitlines(), there.splitlines(), fillvalue="nothing more")
    mine, theirs = next((a, b) for a, b in pairs if a != b)
    return f"the schema has {_cut(mine)} here, {_cut(theirs)} there"


def _cut(line: str) -> str:
    """A line of a schema, which a peer may have sent: quoted, not longer than a line of an error."""
    text = line.strip()
    return repr(text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…")
