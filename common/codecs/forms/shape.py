"""Gain and shape of dense codecs: a length by a gain, and a shape from a unit ball, all coordinates at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64
from gradwire.common.codecs.codec import Codec
from gradwire.common.codecs.forms.gain import Choice, Gain, Length, build_gain
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec

P = TypeVar("P")  # a family's symbols of a shape


class Sent(NamedTuple, Generic[P]):
    """What a payload says: the gain, and the symbols of the shape."""

    gain: float
    shape: P


class ShapeCodec(Codec[Sent[P]]):
    """A quantizer Q of the unit ball of some norm, for every vector: gain * Q(x / gain).

    Families are dataclasses, declare ``gain: Spec`` where they want it among their parameters, and implement the hooks
    for a unit vector.
    """

    gain: Spec  # no field here: this class is no dataclass

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "gain", self._gain.spec)  # canonical, so equal codecs compare equal

    @cached_property
    def nbits(self) -> int:
        return self._gain.nbits + self.shape_nbits

    @cached_property
    def _gain(self) -> Gain:
        return build_gain(self.gain)

    # ---- what a family implements --------------------------------------------------------------------------

    @property
    @abstractmethod
    def shape_nbits(self) -> int:
        """Bits of the payload after the gain."""

    @abstractmethod
    def _length(self, vector: GradientVector) -> Length:
        """The length in the norm of the ball."""

    @abstractmethod
    def _draw(self, unit: GradientVector, coins: Coins, shared: int) -> P:
        """Draw the symbols of a vector in the unit ball."""

    @abstractmethod
    def _write(self, shape: P, out: BitWriter) -> None:
        """Append the symbols, exactly ``shape_nbits`` bits."""

    @abstractmethod
    def _read(self, bits: BitReader) -> P:
        """Read the symbols back and raise PayloadError for what ``_write`` never writes."""

    @abstractmethod
    def _vector(self, shape: P, gain: float, shared: int) -> F64:
        """``gain`` times the vector [dim] that the symbols stand for."""

    def _laws(self, unit: GradientVector, shared: int) -> Iterator[tuple[P, float]]:
        """Every result of ``_draw`` with its probability, where they can be listed."""
        raise NotImplementedError(f"{self.name} does not enumerate its payloads")

    # ---- how a gain and a shape make a codec ---------------------------------------------------------------

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> Sent[P]:
        choice = self._gain.choose(self._length(vector), coins)
        return Sent(choice.gain, self._draw(unit_of(vector, choice), coins, shared))

    def _pack(self, symbols: Sent[P], out: BitWriter) -> None:
        self._gain.write(symbols.gain, out)
        self._write(symbols.shape, out)

    def _unpack(self, bits: BitReader) -> Sent[P]:
        return Sent(float(self._gain.read(bits)), self._read(bits))

    def _reconstruct(self, symbols: Sent[P], shared: int) -> NDArray[np.float64]:
        return self._vector(symbols.shape, symbols.gain, shared)

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[Sent[P], float]]:
        for choice in self._gain.law(self._length(vector)):
            for shape, probability in self._laws(unit_of(vector, choice), shared):
                yield Sent(choice.gain, shape), choice.probability * probability


def unit_of(vector: GradientVector, choice: Choice) -> GradientVector:
    """The vector that is quantized in the unit ball for this choice of the gain."""
    return vector.scaled(choice.scale / choice.gain if choice.gain > 0 else 0.0)
