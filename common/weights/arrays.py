"""The arrays of a model by name, each in its own dtype, and the way from a run's flat vector to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import LayoutError
from gradwire.common.training.layout import DTYPES, FLOATS, Layout, constant_digest

PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, DistributedDataParallel, torch.compile
# What an array of each dtype is in memory; NumPy has no bfloat16, so that is its bits.
STORED = {name: "<u2" if name == "bfloat16" else np.dtype(name).newbyteorder("<").str for name in DTYPES}


@dataclass(frozen=True, eq=False)
class Array:
    """One array.

    Attributes:
        dtype: one of the layout's ``DTYPES``.
        values: in that dtype; of ``bfloat16`` the bits, uint16.
    """

    dtype: str
    values: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""
        return self.values.shape

    @property
    def data(self) -> bytes:
        """Its bytes, little-endian, in C order."""
        return self.values.astype(STORED[self.dtype], copy=False).tobytes()

    @classmethod
    def of_bytes(cls, dtype: str, shape: Sequence[int], data: bytes | memoryview) -> Array:
        """The array that has these bytes, little-endian, in C order."""
        return cls(dtype, np.frombuffer(data, STORED[dtype]).reshape(tuple(shape)))

    @classmethod
    def narrowed(cls, values: NDArray[np.float32], dtype: str) -> Array:
        """Float32 values as a floating dtype, rounded to nearest even; beyond its range they are infinite."""
        if dtype == "bfloat16":
            bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
            rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
            return cls(dtype, rounded.astype(np.uint16).reshape(values.shape))
        with np.errstate(over="ignore"):
            return cls(dtype, values.astype(dtype))

    def widened(self) -> NDArray[np.float32]:
        """Floating values as float32; those of ``float64`` are rounded.

        Raises:
            LayoutError: the dtype is not a floating one.
        """
        if self.dtype not in FLOATS:
            raise LayoutError(f"its values are {self.dtype}, expected floating ones")
        if self.dtype == "bfloat16":
            return (self.values.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore"):
            return self.values.astype(np.float32)


Weights: TypeAlias = Mapping[str, Array]  # by name; tied names have the same Array


def named(layout: Layout, vector: NDArray[np.float32], constants: Sequence[bytes]) -> dict[str, Array]:
    """The arrays of a model under all of their names, in the dtypes of the user's module.

    Args:
        layout: of the model.
        vector: float32 [dim].
        constants: the values of its constant arrays, in order.
    """
    values = {array.name: Array.narrowed(view, array.dtype) for array, view in layout.views(vector)}
    for array, data in zip(layout.constants, constants, strict=True):
        values[array.name] = Array.of_bytes(array.dtype, array.shape, data)
    return {name: values[array.name] for array in layout.arrays for name in (array.name, *array.aliases)}


def constants_from(layout: Layout, weights: Weights) -> tuple[bytes, ...]:
    """The values of a layout's constant arrays, in order, from a file that has them.

    Raises:
        LayoutError: one is missing, or is not the one that the run has.
    """
    found = by_layout(layout, weights)
    values = []
    for array in layout.constants:
        if array.name not in found:
            raise LayoutError(f"the constant array {array.name} is missing")
        data = found[array.name].data
        if constant_digest(data) != array.digest:
            raise LayoutError(f"the constant array {array.name} has other values than the run's")
        values.append(data)
    return tuple(values)


def by_layout(layout: Layout, weights: Weights) -> dict[str, Array]:
    """The arrays of a file by the layout's first names; what the layout does not have keeps the file's name.

    A file's name is the layout's own, an alias, or either behind the prefixes of wrappers.

    Raises:
        LayoutError: two names of one array have different values.
    """
    first = {name: array.name for array in layout.arrays for name in (array.name, *array.aliases)}
    found: dict[str, Array] = {}
    source: dict[str, str] = {}
    for given, array in weights.items():
        name = first.get(given) or first.get(plain_name(given), given)
        if name in found and (found[name].dtype, found[name].data) != (array.dtype, array.data):
            raise LayoutError(f"{source[name]} and {given} are one array in the run's model, and differ")
        found.setdefault(name, array)
        source.setdefault(name, given)
    return found


def plain_name(name: str) -> str:
    """A name without the prefixes of wrappers.

    >>> plain_name("module._orig_mod.layer.weight")
    'layer.weight'
    """
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), None):
        name = name.removeprefix(prefix)
    return name
