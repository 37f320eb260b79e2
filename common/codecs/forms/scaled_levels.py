"""Stochastic rounding to levels that are symmetric about zero, under one scale per payload."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, Array
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs.forms.scales import read_magnitude, round_up_float32, within_float32
from gradwire.common.codecs.forms.stochastic_rounding import (
    GridLevels,
    StochasticRoundingCodec,
    check_zero_grid,
    from_steps,
    steps_per_unit,
)
from gradwire.common.codecs.vector import GradientVector


@dataclass(frozen=True, kw_only=True)
class ScaledLevelsCodec(StochasticRoundingCodec[float]):
    """The payload is a scale as a float32, rounded up, then signed levels l: coordinates scale l / ``top``.

    Attributes:
        scale_name: what the scale is, for messages: ``"the norm"``.
    """

    scale_name: ClassVar[str]

    @property
    @abstractmethod
    def top(self) -> int:
        """The level of a coordinate as large as the scale."""

    @abstractmethod
    def _scale(self, vector: GradientVector) -> float:
        """The scale, at least the largest magnitude."""

    @abstractmethod
    def _write_levels(self, levels: Array, out: BitWriter) -> None:
        """Append levels -top to top, [dim]."""

    @abstractmethod
    def _read_levels(self, bits: BitReader) -> Array:
        """Read levels back.

        Raises:
            PayloadError: bits that ``_write_levels`` never writes.
        """

    def _grid(self, vector: GradientVector, values: Array) -> float:
        return round_up_float32(within_float32(self._scale(vector)))

    def _to_steps(self, values: Array, grid: float) -> Array:
        return values * steps_per_unit(grid, self.top)

    def _step(self, grid: float) -> float:
        return grid / self.top

    def _pack(self, symbols: GridLevels, out: BitWriter) -> None:
        out.write_float32(symbols.grid)
        self._write_levels(symbols.levels, out)

    def _unpack(self, bits: BitReader) -> GridLevels:
        scale = read_magnitude(bits, self.scale_name)
        levels = self._read_levels(bits)
        check_zero_grid(scale, levels, self.scale_name)
        return GridLevels(scale, levels)

    def _reconstruct(self, symbols: GridLevels, shared: int) -> Terms | F64:
        return from_steps(symbols.levels, self._step(symbols.grid))
