"""Codecs that round every coordinate to a level of a uniform grid without bias, and send the levels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import F64, Array, is_tensor, namespace
from gradwire.common.arrays.rounding import levels_law, slabs, stochastic_levels, uniforms_like
from gradwire.common.codecs.codec import Codec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import PayloadError
from gradwire.common.randomness import Coins

G = TypeVar("G")  # a family's description of the grid


class GridLevels(NamedTuple):
    """A gradient on a grid: the grid's description, and integers [n] on the gradient's device until packed."""

    grid: Any
    levels: Array


@dataclass(frozen=True, kw_only=True)
class StochasticRoundingCodec(Codec[GridLevels], Generic[G]):
    """A grid from the gradient, then each coordinate y in steps of it rounded to floor(y) or floor(y) + 1 with mean y.

    With f_i the fraction of y_i, E|error|^2 = step^2 sum f_i (1 - f_i), exactly; one private uniform per coordinate.
    """

    @abstractmethod
    def _grid(self, vector: GradientVector, values: Array) -> G:
        """The grid as the payload holds it: rounded to float32 already."""

    @abstractmethod
    def _to_steps(self, values: Array, grid: G) -> Array:
        """Coordinates [n], float64, in steps of the grid; by element-wise operations alone."""

    @abstractmethod
    def _step(self, grid: G) -> float:
        """The distance of neighbouring levels."""

    def _coordinates(self, vector: GradientVector, shared: int) -> Array:
        """The coordinates [n] that are rounded."""
        return vector.values

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> GridLevels:
        values = self._coordinates(vector, shared)
        grid = self._grid(vector, values)
        levels = empty_levels(values)
        for part in slabs(levels.shape[0]):
            steps = self._to_steps(to_float64(values[part]), grid)
            levels[part] = stochastic_levels(steps, uniforms_like(coins, steps.shape[0], steps))
        return GridLevels(grid, levels)

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[GridLevels, float]]:
        values = self._coordinates(vector, shared)
        grid = self._grid(vector, values)
        for levels, probability in levels_law(self._to_steps(to_float64(values), grid)):
            yield GridLevels(grid, levels), probability

    def variance_at(self, x: NDArray[np.floating]) -> float:
        vector = GradientVector.of(x, self.dim)
        grid = self._grid(vector, vector.values)
        return self._step(grid) ** 2 * self._variance_in_steps(vector.values, grid)

    def _variance_in_steps(self, values: Array, grid: G) -> float:
        """The sum of f (1 - f) over the coordinates."""
        total = 0.0
        for part in slabs(values.shape[0]):
            y = self._to_steps(to_float64(values[part]), grid)
            f = y - np.floor(y)
            total += float((f * (1 - f)).sum())
        return total


def to_float64(values: Array) -> Array:
    """The same values in float64, without a copy where they are float64 already."""
    xp = namespace(values)
    return xp.astype(values, xp.float64, copy=False)


def empty_levels(values: Array) -> Array:
    """int32 [n] on the values' backend and device."""
    xp = namespace(values)
    device = {"device": values.device} if is_tensor(values) else {}
    return xp.empty(values.shape[0], dtype=xp.int32, **device)


def steps_per_unit(span: float, steps: int) -> float:
    """The factor steps / span, rounded so that ``span`` times it is not above ``steps``; 0 where the span is 0."""
    if span == 0:
        return 0.0
    factor = steps / span
    return factor if span * factor <= steps else float(np.nextafter(factor, 0.0))


def from_steps(levels: NDArray[np.integer[Any]], step: float, origin: float = 0.0) -> F64:
    """The values origin + step * levels: float64 [n]."""
    out: F64 = levels.astype(np.float64)
    out *= step
    if origin:
        out += origin
    return out


def check_zero_grid(span: float, levels: Array, what: str) -> None:
    """Check that a grid of span zero has all coordinates on level 0.

    Raises:
        PayloadError: another level was sent; the message begins with ``what``.
    """
    if span == 0 and levels.any():
        raise PayloadError(f"{what} is 0 and a level is not: the payload is corrupt")
