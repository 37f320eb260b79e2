"""Codecs that round every coordinate to a level of a uniform grid without bias, and send the levels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader
from gradwire.common.arrays.compat import F64, Array, is_tensor, namespace
from gradwire.common.arrays.rounding import levels_law, slabs, stochastic_levels, uniforms_like
from gradwire.common.codecs.codec import Codec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import DomainError, PayloadError
from gradwire.common.randomness import Coins

FLOAT32_MAX = float(np.finfo(np.float32).max)

H = TypeVar("H")  # what a payload says of the whole gradient: its grid


class Levels(NamedTuple):
    """A gradient on a grid: what describes the grid, and integers [n], on the gradient's device until packed."""

    grid: Any
    levels: Array


@dataclass(frozen=True, kw_only=True)
class DitheredCodec(Codec[Levels], Generic[H]):
    """A grid from the gradient, then each coordinate y on it rounded to floor(y) or floor(y) + 1 with mean y.

    With f_i the fraction of y_i, E|error|^2 = step^2 sum f_i (1 - f_i), exactly; one private uniform a coordinate.
    """

    @abstractmethod
    def _grid(self, vector: GradientVector, values: Array) -> H:
        """The grid, as the payload says it: rounded to float32 already."""

    @abstractmethod
    def _onto(self, values: Array, grid: H) -> Array:
        """Coordinates [n], float64, in units of the grid's step; element-wise operations alone."""

    @abstractmethod
    def _step(self, grid: H) -> float:
        """The distance of two levels."""

    def _values(self, vector: GradientVector, shared: int) -> Array:
        """The coordinates [n] that are rounded."""
        return vector.values

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> Levels:
        values = self._values(vector, shared)
        grid = self._grid(vector, values)
        levels = empty_levels(values)
        for part in slabs(levels.shape[0]):
            here = self._onto(to_float64(values[part]), grid)
            levels[part] = stochastic_levels(here, uniforms_like(coins, here.shape[0], here))
        return Levels(grid, levels)

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[Levels, float]]:
        values = self._values(vector, shared)
        grid = self._grid(vector, values)
        for levels, probability in levels_law(self._onto(to_float64(values), grid)):
            yield Levels(grid, levels), probability

    def variance_at(self, x: NDArray[np.floating]) -> float:
        vector = GradientVector.of(x, self.dim)
        grid = self._grid(vector, vector.values)
        return self._step(grid) ** 2 * self._noise(vector.values, grid)

    def _noise(self, values: Array, grid: H) -> float:
        """The variance in units of the step: sum f (1 - f) over the coordinates."""
        total = 0.0
        for part in slabs(values.shape[0]):
            y = self._onto(to_float64(values[part]), grid)
            f = y - np.floor(y)
            total += float((f * (1 - f)).sum())
        return total


def to_float64(values: Array) -> Array:
    """The same values in float64, without a copy where they are that already."""
    xp = namespace(values)
    return xp.astype(values, xp.float64, copy=False)


def empty_levels(values: Array) -> Array:
    """int32 [n] on the values' backend and device."""
    xp = namespace(values)
    return xp.empty(
        values.shape[0], dtype=xp.int32, **({"device": values.device} if is_tensor(values) else {})
    )


def below_float32(value: float) -> float:
    """The value, if float32 holds numbers of its size.

    Raises:
        DomainError: it is beyond float32.
    """
    if not abs(value) <= FLOAT32_MAX:
        raise DomainError(f"the gradient holds {value:.3g}, beyond float32: scale the loss down")
    return value


def levels_per(span: float, count: int) -> float:
    """The factor count / span, rounded so that ``span`` times it is not above ``count``; 0 where the span is 0."""
    if span == 0:
        return 0.0
    scale = count / span
    return scale if span * scale <= count else float(np.nextafter(scale, 0.0))


def read_magnitude(bits: BitReader, what: str) -> float:
    """The next float32, which no encoder makes negative.

    Raises:
        PayloadError: negative, negative zero, NaN or infinite.
    """
    value = float(bits.read_float32())
    if np.signbit(value):
        raise PayloadError(f"{what} is {value}, expected a non-negative float32: the payload is corrupt")
    return value


def check_zero(size: float, levels: Array, what: str) -> None:
    """A grid of size zero has all coordinates on its one level.

    Raises:
        PayloadError: another level was sent.
    """
    if size == 0 and levels.any():
        raise PayloadError(f"{what} is 0 and a level is not: the payload is corrupt")


def on_grid(levels: NDArray[np.integer[Any]], step: float, origin: float = 0.0) -> F64:
    """The values origin + step * levels, float64 [n]."""
    out: F64 = levels.astype(np.float64)
    out *= step
    if origin:
        out += origin
    return out
