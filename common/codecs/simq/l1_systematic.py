"""SimQ's point set with systematic draws: far less noise once the draws are as many as the large coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.sampling import draw_systematically
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.vertex import Draws, _shape
from gradwire.common.codecs.simq.simq import SimQ
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.randomness import Coins


@register
@dataclass(frozen=True, kw_only=True)
class L1Systematic(SimQ):
    """Vertices ±|x|_1 e_i, drawn ``repeats`` times with one random offset u (theory, section 5).

    Draw j takes the coordinate where (u + j) / s falls in the cumulative |x| / |x|_1, with its sign: coordinate i
    is drawn floor(a_i) or ceil(a_i) times, a_i = s |x_i| / |x|_1. Unbiased for every x. The exact variance (|x|_1 /
    s)^2 sum f (1 - f), f = a_i - floor(a_i), is never above that of independent draws, and falls like 1 / s^2 once
    s exceeds the number of large coordinates, where theirs falls like 1 / s (erratum S8). The largest over |x| = 1
    is d / s - 1 for 2 s <= d.

    Payload: |x|_1 as a float32 (or nothing, under a public l1 bound), then the sum of the draws as an integer point of
    the l1 ball of radius s, ceil(log2 D(d, s)) bits, the fewest; ``coding=multiset`` takes ceil(log2 C(2d + s, s)).
    What falls between |x|_1 and the float32 above it is the zero vertex. Not private, whatever the bound: counts that
    x does not allow have probability zero (theory, section 1.2).

    >>> from gradwire.common.codecs import parse
    >>> parse("l1_systematic(100)", dim=795_010).nbits
    1568
    """

    coding: str = "l1_ball"

    name = "l1_systematic"
    source = "theory 5; against SimQ remark 5 and 8 (S8)"
    independent_draws = False

    @property
    def variance_is_bound(self) -> bool:
        """Beyond d / 2 draws the worst vector has f = 1/2 everywhere, which not every s allows."""
        return 2 * self.repeats > self.dim

    def variance(self, norm: float = 1.0) -> float:
        longest = math.sqrt(self.dim) * norm

        def error(gain: float, scale: float) -> float:
            kept = min(scale * longest, gain)
            share = min(0.5, self.draws * kept / (gain * self.dim)) if gain else 0.0
            noise = (gain / self.draws) ** 2 * (self.dim * share * (1 - share))
            return noise + ((1 - scale) * norm) ** 2

        return self._gain.largest(norm, longest, error)

    def variance_at(self, x: NDArray[np.floating]) -> float:
        v = x.astype(np.float64)

        def error(gain: float, scale: float) -> float:
            often = self.draws * scale / gain * np.abs(v) if gain else np.zeros(self.dim)
            share = often - np.floor(often)
            noise = (gain / self.draws) ** 2 * float((share * (1 - share)).sum())
            return noise + (1 - scale) ** 2 * float(v @ v)

        return self._gain.average(self._norm(v), error)

    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        if vector.factor == 0:
            return np.full(count, 2 * self.dim)
        total = max(self.radius / vector.factor, vector.sums.total)
        drawn = draw_systematically(vector.values, vector.sums, total, count, coins)
        return np.where(drawn.coordinate < 0, 2 * self.dim, drawn.coordinate + self.dim * drawn.negative)

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[Draws, float]]:
        vector = self._prepare(vector)
        for choice in self._gain.law(self._length(vector)):
            v = _shape(vector, choice).exact
            for vertices, probability in self._offsets(v):
                yield Draws(np.float64(choice.gain), vertices), choice.probability * probability

    def _offsets(self, v: F64) -> Iterator[tuple[I64, float]]:
        """The draws for every stretch of offsets that gives the same ones, with its length."""
        edges = self.draws * np.cumsum(np.abs(v))
        stops = np.append(np.unique(edges - np.floor(edges)), 1.0)
        starts = np.append(0.0, stops[:-1])
        for start, stop in zip(starts, stops, strict=True):
            at = np.searchsorted(edges, (start + stop) / 2 + np.arange(self.draws), side="right")
            negative = np.append(v < 0, False)[at]
            vertices = np.where(at == self.dim, 2 * self.dim, at + self.dim * negative)
            yield vertices, float(stop - start)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("l1_systematic", 3, enumerable=True),
            Example("l1_systematic(2)", 4, enumerable=True),
            Example("l1_systematic(5, gain=bound(2.5), coding=multiset)", 3, enumerable=True),
            Example("l1_systematic(repeats=2, coding=tuple)", 5, enumerable=True),
            Example("l1_systematic(64, coding=type_signs)", 1000),
            Example("l1_systematic(500)", 70_001),
        )
