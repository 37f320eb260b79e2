"""Gain x shape: codecs for a unit ball, extended to every length by a gain; and those that send drawn vertices."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs.codec import Codec
from gradwire.common.codecs.forms.gain import Bound, Choice, Gain, Length, build_gain
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.lossless.codings.base import Coding, SignedAxes, coding_class
from gradwire.common.privacy.mechanisms import UNKNOWN, Masses, stated
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec

MAX_REPEATS = 1 << 24


class Draws(NamedTuple):
    """Vertices drawn for one gradient: the gain [] and indices int64 [draws]; a batch puts an axis before both."""

    gain: F64 | np.float64
    vertices: I64


@dataclass(frozen=True, kw_only=True)
class VertexCodec(Codec[Draws]):
    """A convex combination's vertex, drawn ``repeats`` times ([V] section 4, and its repetition technique).

    The payload is the gain, then the drawn vertices in the chosen coding (``tuple``: ceil(log2 |C|) bits each, in the
    order drawn). A family says how many vertices there are, how they are drawn, and what they decode to;
    ``independent_draws``: each by itself; ``signed_axes``: they are pairs of opposites and 0, in SimQ's order, and no
    gradient draws a vertex and its opposite.

    Where no vertex is ever impossible a draw is private by itself: under a public bound a payload has the epsilon of a
    draw, from ``masses``, times the draws. Encoders draw in float64 from 53-bit uniforms. A vertex' probability is then
    off by less than 2^-49, and where a floor under it matters (``Threshold``) by none of the floor; sums of half of all
    by less than d 2^-57 + 2^-40. Up to ``private_dim`` coordinates that moves an epsilon by less than ``ROUNDING``,
    5e-10, which is added to what is stated.
    """

    repeats: int = 1
    gain: Spec = Spec("exact")
    coding: str = "tuple"

    index_domain = True
    independent_draws: ClassVar[bool] = True
    signed_axes: ClassVar[bool] = False
    private_dim: ClassVar[int] = 1 << 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.repeats <= MAX_REPEATS:
            raise SpecError(f"{self.name}: repeats is {self.repeats}, expected 1 to {MAX_REPEATS}")
        object.__setattr__(self, "gain", self._gain.spec)  # canonical, so equal codecs compare equal
        if issubclass(coding_class(self.coding), SignedAxes) and not self.signed_axes:
            raise SpecError(
                f"{self.name}: coding is {self.coding}, which only simq's point sets have: take multiset"
            )

    @property
    @abstractmethod
    def vertices(self) -> int:
        """The number of vertices |C|."""

    @property
    def draws(self) -> int:
        """How many vertices a payload holds."""
        return self.repeats

    @property
    def width(self) -> int:
        """Bits that tell one vertex from the others: ceil(log2 |C|)."""
        return (self.vertices - 1).bit_length()

    @cached_property
    def nbits(self) -> int:
        return self._gain.nbits + self._coding.nbits

    @property
    def batches(self) -> bool:
        return self._coding.batches

    @cached_property
    def epsilon(self) -> float:
        public = isinstance(self._gain, Bound) and self.independent_draws and self.dim <= self.private_dim
        return self.draws * stated(self.masses(1).log_odds()) if public else math.inf

    @cached_property
    def _gain(self) -> Gain:
        return build_gain(self.gain)

    @cached_property
    def _coding(self) -> Coding:
        return coding_class(self.coding)(self.vertices, self.draws)

    # ---- what a point set implements -----------------------------------------------------------------------

    def _prepare(self, vector: GradientVector) -> GradientVector:
        """The vector as the point set sees it: its sums as tight as they must be, or in another orthonormal basis."""
        return vector

    def masses(self, size: int) -> Masses:
        """How likely ``size`` vertices, 1 to |C| - 1, can be together for vectors in the unit ball."""
        return UNKNOWN

    @property
    def squares(self) -> float:
        """The sum of |c|^2 over all vertices c, for gain 1."""
        raise NotImplementedError(f"{self.name} does not state the sum of its vertices' squares")

    def second_moment(self, norm: float) -> float:
        """The largest E|c|^2 of a drawn vertex, for gain 1, over vectors in the ball with that l2 norm, or a bound."""
        raise NotImplementedError(f"{self.name} does not state the second moment of its vertices")

    @property
    def centre(self) -> Terms | None:
        """The sum of all vertices in the index domain, for gain 1; None where it is zero."""
        return None

    @abstractmethod
    def _length(self, vector: GradientVector) -> Length:
        """The length in the norm of the set's ball: x / length must lie in the hull of the point set."""

    @abstractmethod
    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        """Independent vertices [count] whose mean is the vector, which lies in the hull."""

    @abstractmethod
    def _terms(self, vertices: I64, weights: F64) -> Terms:
        """The sum of the vertices [k] times their weights [k], in the index domain."""

    @abstractmethod
    def _probabilities(self, v: F64) -> F64:
        """The exact law of one draw, float64 [vertices], for v in the hull."""

    # ---- the codec -----------------------------------------------------------------------------------------

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> Draws:
        vector = self._prepare(vector)
        choice = self._gain.choose(self._length(vector), coins)
        return Draws(np.float64(choice.gain), self._draw(_shape(vector, choice), self.draws, coins))

    def _pack(self, symbols: Draws, out: BitWriter) -> None:
        self._gain.write(float(symbols.gain), out)
        self._coding.write(symbols.vertices, out)

    def _unpack(self, bits: BitReader) -> Draws:
        return Draws(self._gain.read(bits), self._coding.read(bits))

    def _reconstruct(self, symbols: Draws, shared: int) -> Terms:
        weights = np.broadcast_to(np.expand_dims(symbols.gain / self.draws, -1), symbols.vertices.shape)
        return self._terms(symbols.vertices.reshape(-1), weights.reshape(-1))

    def _apply_weights(self, symbols: Draws, weights: F64) -> Draws:
        return symbols._replace(gain=symbols.gain * weights)

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[Draws, float]]:
        vector = self._prepare(vector)
        for choice in self._gain.law(self._length(vector)):
            one = self._probabilities(_shape(vector, choice).exact)
            for draw in itertools.product(np.flatnonzero(one), repeat=self.draws):
                yield (
                    Draws(np.float64(choice.gain), np.array(draw)),
                    choice.probability * math.prod(one[i] for i in draw),
                )


def _shape(vector: GradientVector, choice: Choice) -> GradientVector:
    return vector.scaled(choice.scale / choice.gain if choice.gain > 0 else 0.0)
