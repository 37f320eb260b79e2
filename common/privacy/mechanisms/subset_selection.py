"""Subset selection: a report is a set of vertices, more likely one that holds the true one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.decisions import Threshold, draw_subset
from gradwire.common.arrays.logarithms import exp
from gradwire.common.arrays.sampling import draw_uniform
from gradwire.common.errors import SpecError
from gradwire.common.lossless.subset_code import decode_subset, encode_subset, subset_bits
from gradwire.common.privacy.mechanisms.base import (
    MassesOf,
    Mechanism,
    Reports,
    Response,
    register_mechanism,
    stated,
)
from gradwire.common.privacy.mechanisms.masses import Masses
from gradwire.common.randomness import Coins

# Below this share of the mass, the point set is as private as asked without a mechanism.
LEAST_NEED = 2.0**-16


@dataclass(frozen=True)
class SubsetResponse(Response):
    """With probability ``informed`` a uniform subset of ``size`` that holds the true vertex, else any uniform subset.

    So a report Y has probability (1 - k) / C(K, w) + k a(Y) / C(K - 1, w - 1), K = ``vertices``, w = ``size``, k =
    ``informed``, a(Y) the mass of Y under the law of the vertex: for any law at all the first summand is there. What
    rounding does to float64 laws can only change a(Y), by less than 2^-48 plus 10^-12 of it for one vertex of a
    cross-polytope up to 2^32 coordinates.
    """

    size: int
    informed: Threshold

    @cached_property
    def other(self) -> float:
        k, w = self.informed, self.size
        alone = k.probability * (w - 1) / (self.vertices - 1) if w > 1 else 0.0
        return alone + k.complement * w / self.vertices

    @cached_property
    def signal(self) -> float:
        if self.size == 1:
            return self.informed.probability
        return self.informed.probability * (self.vertices - self.size) / (self.vertices - 1)

    @cached_property
    def pairs(self) -> tuple[float, float]:
        w, n = self.size, self.vertices
        if w == 1:
            return 0.0, 0.0
        p = self.other + self.signal
        both = p * (w - 1) / (n - 1)
        others = (p * (w - 1) * (w - 2) + (1 - p) * w * (w - 1)) / ((n - 1) * (n - 2)) if n > 2 else 0.0
        return both, others

    @property
    def names_one(self) -> bool:
        return self.size == 1

    @cached_property
    def nbits(self) -> int:
        return subset_bits(self.vertices, self.size)

    def respond(self, drawn: I64, coins: Coins) -> Reports:
        informed = self.informed.flip(drawn.size, coins)
        if self.size == 1:
            return np.where(informed, drawn, draw_uniform(self.vertices, drawn.size, coins))
        reports = np.empty((drawn.size, self.size), np.int64)
        for report, vertex, knows in zip(reports, drawn.tolist(), informed.tolist(), strict=True):
            report[:] = self._with(vertex, coins) if knows else draw_subset(self.vertices, self.size, coins)
        return reports

    def _with(self, vertex: int, coins: Coins) -> I64:
        others = draw_subset(self.vertices - 1, self.size - 1, coins)
        return np.sort(np.append(others + (others >= vertex), vertex))

    def named(self, reports: Reports) -> I64:
        return reports.reshape(-1).astype(np.int64, copy=False)

    def law(self, drawn: F64) -> Iterator[tuple[Reports, float]]:
        any_ = self.informed.complement / math.comb(self.vertices, self.size)
        holding = self.informed.probability / math.comb(self.vertices - 1, self.size - 1)
        for subset in itertools.combinations(range(self.vertices), self.size):
            report = np.array(subset)
            probability = any_ + holding * math.fsum(drawn[report].tolist())
            yield (report[0] if self.size == 1 else report), probability

    def write(self, reports: Reports, out: BitWriter) -> None:
        for report in reports:
            out.write_int(encode_subset(report, self.vertices), self.nbits)

    def read(self, bits: BitReader, count: int) -> Reports:
        return np.array(
            [decode_subset(bits.read_int(self.nbits), self.vertices, self.size) for _ in range(count)]
        )


def subset_response(
    mechanism: Mechanism, size: int, vertices: int, masses: MassesOf, *, nominal: bool
) -> SubsetResponse:
    """The response of that size whose epsilon over the point set is the mechanism's; ``nominal``: over the indices.

    Reports have weight t = 1 + k K / ((1 - k) w) where they hold the true vertex, else 1. Nominal is t = e^epsilon;
    (1 + (t - 1) most) / (1 + (t - 1) least) = e^epsilon gives t - 1 = (e^epsilon - 1) / (most - e^epsilon least), the
    masses over the ball (theory 1.2: lambda = 1 + 2dA / (e^epsilon - 1) for a cross-polytope and w = 1).

    Args:
        mechanism: whose epsilon the response is to have.
        size: vertices in a report.
        vertices: of the point set.
        masses: the least and largest probability of a set of vertices, by its size.
        nominal: count epsilon as [Subset] does, as if a vertex could be certain.

    Raises:
        SpecError: the vertices are as private as asked without a mechanism, or epsilon is too small for so many.
    """
    over_ball, odds = masses(size), mechanism.odds
    need = Fraction(1)
    if not nominal:
        # The worst kind of set decides, relative to its own mass: other kinds may be far likelier.
        need, most = max((Fraction(m) - odds * Fraction(least), m) for least, m in over_ball.ranges)
        if need <= LEAST_NEED * most:
            raise _private_already(mechanism, over_ball)
    ratio = (odds - 1) * size / (vertices * need)  # k / (1 - k)
    informed = Threshold.below(ratio / (1 + ratio))
    if not informed.is_fine:
        raise mechanism.too_coarse()
    epsilon = mechanism.epsilon
    if nominal:
        excess = informed.probability / informed.complement * vertices / size
        epsilon = min(stated(over_ball.log_odds(excess)), epsilon)
    return SubsetResponse(vertices, epsilon, not over_ball.tight, size, informed)


def _private_already(mechanism: Mechanism, over_ball: Masses) -> SpecError:
    alone = over_ball.log_odds()
    nearly = "" if alone <= mechanism.epsilon else ", which a mechanism cannot reduce by so little"
    return SpecError(
        f"{mechanism.name}: epsilon is {mechanism.epsilon}, but these vertices have {alone:.6g} by themselves{nearly}: "
        f"use them without a mechanism, under gain=bound(B), or choose a smaller epsilon"
    )


@register_mechanism
@dataclass(frozen=True)
class SubsetSelection(Mechanism):
    """Subset selection: ``w`` of the K vertices, ceil(log2 C(K, w)) bits per report [Subset] [kSubset].

    A subset that holds the true vertex has weight t, any other 1. ``epsilon`` is exact over the unit ball, which takes
    the spread of the vertex into account; ``nominal``: e^epsilon = t, as in [Subset], where any two vertices could be
    certain. ``w`` is K / (e^epsilon + 1) by default, the best for nominal reports (theory 6); for exact ones ``rr``, w
    = 1, is better on a cross-polytope.
    """

    w: int | None = None
    nominal: bool = False

    name = "subset_selection"
    source = "[Subset]; theory 6"

    def resolved(self, vertices: int) -> Mechanism:
        if self.w is not None:
            return self
        return replace(self, w=max(1, min(vertices - 1, round(vertices / (exp(self.epsilon) + 1)))))

    def fitted(self, vertices: int, masses: MassesOf) -> Response:
        settled = self.resolved(vertices)
        assert isinstance(settled, SubsetSelection)
        size = settled.w
        if size is None or not 1 <= size < vertices:
            raise SpecError(
                f"{self.name}: w is {size}, expected 1 to {vertices - 1}: there are {vertices} vertices"
            )
        return subset_response(self, size, vertices, masses, nominal=self.nominal)
