"""Unary encoding: a report is one bit per vertex, each flipped at random independently."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.decisions import MOST_LOST, Threshold
from gradwire.common.arrays.logarithms import exp_fraction
from gradwire.common.errors import SpecError
from gradwire.common.privacy.mechanisms.base import MassesOf, Mechanism, Reports, Response, register_mechanism
from gradwire.common.randomness import Coins

MAX_VERTICES = 1 << 28


@dataclass(frozen=True)
class UnaryResponse(Response):
    """The bit of the true vertex is set with probability ``keep``, any other with ``false``, independently.

    A report y has probability proportional to 1 + (T - 1) a(y), T = keep (1 - false) / (false (1 - keep)), a(y) the
    mass of the vertices whose bit is set, which is at most 1 whatever rounding does to the law of the vertex.
    """

    keep: Threshold
    false: Threshold

    @property
    def excess(self) -> Fraction:
        """T - 1, exactly."""
        keep, false = self.keep.exact, self.false.exact
        return (keep - false) / (false * (1 - keep))

    @property
    def other(self) -> float:
        return self.false.probability

    @cached_property
    def signal(self) -> float:
        return float(self.keep.exact - self.false.exact)

    @cached_property
    def pairs(self) -> tuple[float, float]:
        return self.keep.probability * self.other, self.other**2

    @property
    def nbits(self) -> int:
        return self.vertices

    def respond(self, drawn: I64, coins: Coins) -> Reports:
        reports = self.false.flip(drawn.size * self.vertices, coins).reshape(drawn.size, self.vertices)
        reports[np.arange(drawn.size), drawn] = self.keep.flip(drawn.size, coins)
        return reports.view(np.uint8)

    def named(self, reports: Reports) -> I64:
        return np.nonzero(reports)[1]

    def law(self, drawn: F64) -> Iterator[tuple[Reports, float]]:
        keep, false = self.keep, self.false
        for bits in itertools.product((0, 1), repeat=self.vertices):
            report = np.array(bits)
            ones = int(report.sum())
            base = false.probability**ones * false.complement ** (self.vertices - ones)
            mass = math.fsum(drawn[report == 1].tolist())
            odds = keep.probability / false.probability, keep.complement / false.complement
            yield report, base * (odds[0] * mass + odds[1] * (math.fsum(drawn.tolist()) - mass))

    def write(self, reports: Reports, out: BitWriter) -> None:
        out.write(reports.reshape(-1), 1)

    def read(self, bits: BitReader, count: int) -> Reports:
        return bits.read(count * self.vertices, 1).reshape(count, self.vertices)


@dataclass(frozen=True)
class _Unary(Mechanism):
    def _response(self, keep: Fraction, false: Fraction, vertices: int, masses: MassesOf) -> UnaryResponse:
        if vertices > MAX_VERTICES:
            raise SpecError(
                f"{self.name}: {vertices} vertices take one bit each, and at most {MAX_VERTICES} are allowed: use rr"
            )
        # Half of all vertices: in a symmetric set, one half can be certain and the other impossible.
        over_ball = masses(vertices // 2)
        exact = over_ball.tight and (0.0, 1.0) in over_ball.ranges
        coins = Threshold.below(keep), Threshold.above(false)
        response = UnaryResponse(vertices, self.epsilon, not exact, *coins)
        if response.excess < (1 - MOST_LOST) * Fraction(self.tuned):
            raise SpecError(
                f"{self.name}: epsilon is {self.epsilon}, too small for coins of 64 bits: expected 1e-16 or more"
            )
        return response


@register_mechanism
@dataclass(frozen=True)
class Rappor(_Unary):
    """RAPPOR's first step ([V] section 6.2, Theorem 17; [RAPPOR]).

    Each bit is flipped with probability f = 1 / (e^(epsilon/2) + 1). K bits per report (erratum V4).
    Variance for centred vertices of length R, t = e^(epsilon/2): R^2 - |v|^2 + K R^2 t / (t - 1)^2 (theory 1.2, erratum
    V4). ``epsilon`` is exact on a cross-polytope and on SimQ's sets, elsewhere an upper bound.
    """

    name = "rappor"
    source = "[V] 6.2, Theorem 17 (V4)"

    def fitted(self, vertices: int, masses: MassesOf) -> Response:
        half = exp_fraction(self.tuned / 2)
        turned = 1 / (half + 1)
        return self._response(1 - turned, turned, vertices, masses)


@register_mechanism
@dataclass(frozen=True)
class OptimizedUnary(_Unary):
    """Optimized unary encoding [OUE]: the true bit is a fair coin, others are rarely set.

    q = 1 / (e^epsilon + 1). Variance for centred vertices of length R: R^2 - |v|^2 + R^2 (1/4 + (K - 1) q (1 - q)) /
    (1/2 - q)^2, below RAPPOR's from epsilon = 1 on (theory 1.2). Bits and exactness as for ``rappor``.
    """

    name = "oue"
    source = "[OUE]; theory 1.2"

    def fitted(self, vertices: int, masses: MassesOf) -> Response:
        return self._response(Fraction(1, 2), 1 / (self.odds + 1), vertices, masses)
