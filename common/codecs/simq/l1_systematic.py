"""SimQ's point set with systematic draws: far less noise once there are as many draws as large coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.sampling import Drawn, draw_systematically
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.simq.simq import SimQ
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.randomness import Coins


@register
@dataclass(frozen=True, kw_only=True)
class L1Systematic(SimQ):
    """Vertices ±|x|_1 e_i, drawn s = ``repeats`` times with one random offset u ([Madow]; theory 5).

    Draw j takes the coordinate where (u + j) / s falls in the cumulative |x| / |x|_1, with its sign: coordinate i is
    drawn floor(a_i) or ceil(a_i) times, a_i = s |x_i| / |x|_1. A draw that falls between |x|_1 and the float32 above it
    is the zero vertex.

    Payload: |x|_1 as a float32 (or nothing, under a public l1 bound), then the sum of the draws as an integer point of
    the l1 ball of radius s, ceil(log2 D(d, s)) bits, the fewest; ``coding=multiset`` takes ceil(log2 C(2d + s, s)).
    Unbiased for every x; variance (|x|_1 / s)^2 sum f (1 - f), f = a_i - floor(a_i), which is never above that of
    independent draws. It falls like 1 / s^2 once s exceeds the number of large coordinates, where that of independent
    draws falls like 1 / s (erratum S8). The largest over |x| = 1 is d / s - 1 for 2 s <= d.
    Not private, whatever the bound: counts that x does not allow have probability zero (theory 1.2).

    >>> from gradwire.common.codecs import parse
    >>> parse("l1_systematic(100)", dim=795_010).nbits
    1568
    """

    coding: str = "l1_ball"

    name = "l1_systematic"
    source = "theory 5; [Madow]; [S] 5, Remark 8 (S8)"
    independent_draws = False

    @property
    def variance_is_bound(self) -> bool:
        """True beyond d / 2 draws, where the worst vector would have f = 1/2 everywhere, which not every s allows."""
        return 2 * self.repeats > self.dim

    def variance(self, norm: float = 1.0) -> float:
        longest = math.sqrt(self.dim) * norm

        def noise(gain: float, scale: float) -> float:
            f = min(0.5, self.draws * min(scale * longest, gain) / (gain * self.dim)) if gain else 0.0
            return (gain / self.draws) ** 2 * (self.dim * f * (1 - f))

        return self._gain.largest_error(norm, longest, norm, noise)

    def variance_at(self, x: NDArray[np.floating]) -> float:
        v = x.astype(np.float64)

        def noise(gain: float, scale: float) -> float:
            counts = self.draws * scale / gain * np.abs(v) if gain else np.zeros(self.dim)
            f = counts - np.floor(counts)
            return (gain / self.draws) ** 2 * float((f * (1 - f)).sum())

        return self._gain.error(self._ball_norm(v), float(np.linalg.norm(v)), noise)

    def _draw_coordinates(self, vector: GradientVector, total: float, count: int, coins: Coins) -> Drawn:
        return draw_systematically(vector.values, vector.sums, total, count, coins)

    def _draw_law(self, v: F64) -> Iterator[tuple[I64, float]]:
        """The draws for every interval of offsets that gives the same ones, with its length."""
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
