"""Codecs that send vertices of a point set, drawn so that their mean is the gradient over its gain."""

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
from gradwire.common.codecs.forms.gain import BoundGain
from gradwire.common.codecs.forms.gain_codec import GainCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.lossless.codings.base import Coding, SignedAxes, coding_class
from gradwire.common.privacy.mechanisms import UNKNOWN, Masses, stated
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec

MAX_REPEATS = 1 << 24


class Draws(NamedTuple):
    """Vertices drawn for one gradient: the gain [] and indices int64 [draws]; a batch has a leading axis in both."""

    gain: F64 | np.float64
    vertices: I64


@dataclass(frozen=True, kw_only=True)
class VertexCodec(GainCodec[Draws]):
    """A point set: a vertex of a convex combination, drawn ``repeats`` times ([V] section 4; theory 1.2).

    The payload is the gain, then the drawn vertices in the chosen coding (``tuple``: ceil(log2 |C|) bits each, in the
    order drawn). A family defines the number of vertices, how they are drawn, and what they decode to.

    Where no vertex is ever impossible a draw is private by itself: under a public bound a payload has the epsilon of a
    draw, from ``masses``, times the draws. Encoders draw in float64 from 53-bit uniforms. The probability of a vertex
    is then off by less than 2^-49, and a floor under it (``Threshold``) by nothing; sums over half of all vertices are
    off by less than d 2^-57 + 2^-40. Up to ``private_dim`` coordinates that moves an epsilon by less than ``ROUNDING``,
    5e-10, which is added to what is stated.

    Attributes:
        repeats: draws per payload, 1 to 2**24.
        gain: ``exact``, ``bound(B)`` or ``aguq(B, rounds)``.
        coding: how draws become bits, a name of ``lossless/codings``.
        independent_draws: draws of one payload are independent; where false, there is no epsilon.
        signed_axes: vertices are +axis i, -axis i and 0, in SimQ's order, and no gradient draws a vertex and its
            opposite.
        private_dim: the largest dimension at which ``epsilon`` is stated.
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
        self._check_range("repeats", 1, MAX_REPEATS)
        if issubclass(coding_class(self.coding), SignedAxes) and not self.signed_axes:
            raise SpecError(
                f"{self.name}: coding is {self.coding}, which only simq's point sets have: choose multiset"
            )

    @property
    @abstractmethod
    def vertices(self) -> int:
        """The number of vertices |C|."""

    @property
    def draws(self) -> int:
        """The number of vertices in a payload."""
        return self.repeats

    @property
    def width(self) -> int:
        """Bits of the index of one vertex: ceil(log2 |C|)."""
        return (self.vertices - 1).bit_length()

    @cached_property
    def nbits(self) -> int:
        return self._gain.nbits + self._coding.nbits

    @property
    def batches(self) -> bool:
        return self._coding.batches

    @cached_property
    def epsilon(self) -> float:
        public = isinstance(self._gain, BoundGain) and self.independent_draws and self.dim <= self.private_dim
        return self.draws * stated(self.masses(1).log_odds()) if public else math.inf

    @cached_property
    def _coding(self) -> Coding:
        return coding_class(self.coding)(self.vertices, self.draws)

    # ---- hooks of families ---------------------------------------------------------------------------------

    def _prepare(self, vector: GradientVector) -> GradientVector:
        """The vector in the form that the hooks below take: with tighter sums, or in another orthonormal basis."""
        return vector

    @abstractmethod
    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        """Independent vertices [count] whose mean is the vector, which lies in the hull."""

    @abstractmethod
    def _terms(self, vertices: I64, weights: F64) -> Terms:
        """The sum of the vertices [k] times their weights [k], in the index domain."""

    @abstractmethod
    def _probabilities(self, v: F64) -> F64:
        """The exact law of one draw, float64 [vertices], for v in the hull."""

    def _draw_law(self, v: F64) -> Iterator[tuple[I64, float]]:
        """Every sequence of ``draws`` vertices with its probability, for v in the hull."""
        one = self._probabilities(v)
        for draws in itertools.product(np.flatnonzero(one), repeat=self.draws):
            yield np.array(draws), math.prod(one[i] for i in draws)

    def masses(self, size: int) -> Masses:
        """The extreme probabilities of ``size`` vertices together, 1 to |C| - 1, over vectors in the unit ball."""
        return UNKNOWN

    def second_moment(self, norm: float) -> float:
        """The largest E|c|^2 of a drawn vertex c, or a bound, over vectors in the ball with that l2 norm; gain 1."""
        raise NotImplementedError(f"{self.name} does not state the second moment of its vertices")

    @property
    def sum_of_squares(self) -> float:
        """The sum of |c|^2 over all vertices c, for gain 1."""
        raise NotImplementedError(f"{self.name} does not state the sum of its vertices' squares")

    @property
    def vertex_sum(self) -> Terms | None:
        """The sum of all vertices in the index domain, for gain 1; None where it is zero."""
        return None

    # ---- hooks of Codec ------------------------------------------------------------------------------------

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> Draws:
        vector = self._prepare(vector)
        outcome = self._gain.draw(self._norm_estimate(vector), coins)
        return Draws(np.float64(outcome.gain), self._draw(outcome.into_ball(vector), self.draws, coins))

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
        for outcome in self._gain_outcomes(vector):
            for vertices, probability in self._draw_law(outcome.into_ball(vector).on_host):
                yield Draws(np.float64(outcome.gain), vertices), outcome.probability * probability
