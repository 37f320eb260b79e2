"""Gain and shape of dense codecs: the shape, a vector of a unit ball, is quantized as a whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64
from gradwire.common.codecs.forms.gain_codec import GainCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.randomness import Coins

P = TypeVar("P")  # a family's symbols of a shape


class GainAndShape(NamedTuple, Generic[P]):
    """The symbols of a payload: the gain, and the symbols of the shape."""

    gain: float
    shape: P


class ShapeCodec(GainCodec[GainAndShape[P]]):
    """A payload is the gain, then the shape; families implement the hooks for a vector of the unit ball."""

    @cached_property
    def nbits(self) -> int:
        return self._gain.nbits + self.shape_nbits

    # ---- hooks of families ---------------------------------------------------------------------------------

    @property
    @abstractmethod
    def shape_nbits(self) -> int:
        """Bits of the payload after the gain."""

    @abstractmethod
    def _draw_shape(self, unit: GradientVector, coins: Coins, shared: int) -> P:
        """Draw the symbols of a vector in the unit ball, whose mean is the vector."""

    @abstractmethod
    def _write_shape(self, shape: P, out: BitWriter) -> None:
        """Append the symbols, exactly ``shape_nbits`` bits."""

    @abstractmethod
    def _read_shape(self, bits: BitReader) -> P:
        """Read the symbols back.

        Raises:
            PayloadError: bits that ``_write_shape`` never writes.
        """

    @abstractmethod
    def _decode_shape(self, shape: P, gain: float, shared: int) -> F64:
        """``gain`` times the decoded vector: float64 [dim]."""

    def _shape_law(self, unit: GradientVector, shared: int) -> Iterator[tuple[P, float]]:
        """Every result of ``_draw_shape`` with its probability, where they can be listed."""
        raise NotImplementedError(f"{self.name} does not enumerate its payloads")

    # ---- hooks of Codec ------------------------------------------------------------------------------------

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> GainAndShape[P]:
        outcome = self._gain.draw(self._norm_estimate(vector), coins)
        return GainAndShape(outcome.gain, self._draw_shape(outcome.into_ball(vector), coins, shared))

    def _pack(self, symbols: GainAndShape[P], out: BitWriter) -> None:
        self._gain.write(symbols.gain, out)
        self._write_shape(symbols.shape, out)

    def _unpack(self, bits: BitReader) -> GainAndShape[P]:
        return GainAndShape(float(self._gain.read(bits)), self._read_shape(bits))

    def _reconstruct(self, symbols: GainAndShape[P], shared: int) -> NDArray[np.float64]:
        return self._decode_shape(symbols.shape, symbols.gain, shared)

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[GainAndShape[P], float]]:
        for outcome in self._gain_outcomes(vector):
            for shape, probability in self._shape_law(outcome.into_ball(vector), shared):
                yield GainAndShape(outcome.gain, shape), outcome.probability * probability
