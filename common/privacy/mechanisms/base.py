"""The mechanism contract: a vertex in, a report out, and any two vertices make any report about equally likely.

A ``Mechanism`` is what a spec describes: a name and an epsilon. Fitted to a point set it is a ``Response``, which
draws, packs and reads reports, and knows their law. Of the point set, only two things are known here: the number of
its vertices, and how likely sets of them can be (``Masses``).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.decisions import ROUNDING
from gradwire.common.arrays.logarithms import exp_fraction
from gradwire.common.errors import SpecError
from gradwire.common.privacy.mechanisms.masses import Masses
from gradwire.common.randomness import Coins
from gradwire.common.registry import Registry
from gradwire.common.spec import Spec, spec_of

MAX_EPSILON = 20.0  # e^20 is half a billion: odds beyond that hide nothing

Reports: TypeAlias = NDArray[np.integer[Any]]
MassesOf = Callable[[int], Masses]  # by the number of vertices in the set


class Moments(NamedTuple):
    """Moments of a point set, from which the variance of reports on it follows; its vertices c average to a vector v.

    Attributes:
        vertex: E|c|^2 of the drawn vertex.
        squares: the sum of |c|^2 over all vertices.
        total: |S|^2 for S the sum of all vertices.
        along: v·S.
        norm: |v|^2.
    """

    vertex: float
    squares: float
    total: float
    along: float
    norm: float


@dataclass(frozen=True)
class Response(ABC):
    """A mechanism on ``vertices`` indices: a report names some of them, the true one more often than any other.

    Attributes:
        epsilon: of one report, exactly and never too small; an upper bound where ``epsilon_is_bound``.
    """

    vertices: int
    epsilon: float
    epsilon_is_bound: bool

    # ---- the law: P(the report names the true vertex), (another), (both), (two others) ------------------------

    @property
    @abstractmethod
    def other(self) -> float:
        """The probability q that a given vertex other than the true one is named."""

    @property
    @abstractmethod
    def signal(self) -> float:
        """The difference p - q, p the probability that the true vertex is named; computed without cancellation."""

    @property
    @abstractmethod
    def pairs(self) -> tuple[float, float]:
        """The probabilities that the true vertex and a given other are both named, and that two given others are."""

    def variance(self, moments: Moments) -> float:
        """E|z - v|^2 of the estimate z = (sum of the vertices named - q S) / (p - q) (theory 1.2).

        By E|sum|^2 = p E|c|^2 + q (squares - E|c|^2) and twice the inner products of pairs.
        """
        vertex, squares, total, along, norm = moments
        q, signal, (both, others) = self.other, self.signal, self.pairs
        p = q + signal
        of_sum = p * vertex + q * (squares - vertex) + 2 * both * (along - vertex)
        of_sum += others * (total - 2 * along + 2 * vertex - squares)
        return (of_sum - 2 * q * signal * along - q * q * total) / signal**2 - norm

    # ---- reports -------------------------------------------------------------------------------------------

    @property
    def names_one(self) -> bool:
        """Whether a report is one vertex: n of them are int64 [n], coded as vertices are."""
        return False

    @property
    def nbits(self) -> int:
        """Bits per report, where it is not a vertex."""
        raise NotImplementedError

    @abstractmethod
    def respond(self, drawn: I64, coins: Coins) -> Reports:
        """Reports on true vertices [n], independent of each other: [n] or [n, k]."""

    @abstractmethod
    def named(self, reports: Reports) -> I64:
        """All vertices that the reports name, with repetitions: int64 [m]."""

    @abstractmethod
    def law(self, drawn: F64) -> Iterator[tuple[Reports, float]]:
        """Every single report with its probability, for a vertex that has the law ``drawn`` [vertices]."""

    def write(self, reports: Reports, out: BitWriter) -> None:
        """Append the reports [n, k], ``nbits`` bits each."""
        raise NotImplementedError

    def read(self, bits: BitReader, count: int) -> Reports:
        """The next ``count`` reports.

        Raises:
            PayloadError: bits that ``write`` never gives.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Mechanism(ABC):
    """A mechanism as a spec has it; ``epsilon`` is that of one report on one vertex, natural log."""

    epsilon: float

    name: ClassVar[str]
    source: ClassVar[str]

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= MAX_EPSILON:
            raise SpecError(
                f"{self.name}: epsilon is {self.epsilon}, expected above 0 and at most {MAX_EPSILON:g}: "
                f"beyond that nothing is hidden"
            )

    def resolved(self, vertices: int) -> Mechanism:
        """The same mechanism with its default parameters resolved for that many vertices."""
        return self

    @abstractmethod
    def fitted(self, vertices: int, masses: MassesOf) -> Response:
        """The mechanism for a point set.

        Raises:
            SpecError: the mechanism cannot have this epsilon on this point set; the message names an alternative.
        """

    @cached_property
    def tuned(self) -> float:
        """Epsilon less ``ROUNDING``: a law tuned to this stays below epsilon after all rounding."""
        return self.epsilon - ROUNDING * min(1.0, self.epsilon)

    @cached_property
    def odds(self) -> Fraction:
        """The odds allowed: e to the power of ``tuned``."""
        return exp_fraction(self.tuned)

    @cached_property
    def spec(self) -> Spec:
        """The canonical spec."""
        return spec_of(self)

    def too_coarse(self) -> SpecError:
        return SpecError(
            f"{self.name}: epsilon is {self.epsilon}, too small for so many vertices: less than one report in 10^9 "
            f"would carry information; choose a larger epsilon, or private_top"
        )


MECHANISMS: Registry[Mechanism] = Registry("mechanism")
register_mechanism = MECHANISMS.register


def build_mechanism(spec: Spec) -> Mechanism:
    """A mechanism from its spec, as ``rr(epsilon=4)``.

    Raises:
        SpecError: unknown name or bad argument.
    """
    return MECHANISMS.build(spec)


def stated(epsilon: float) -> float:
    """The epsilon to state for a law that has ``epsilon`` in real numbers: with a margin for rounding."""
    return epsilon + ROUNDING * min(1.0, epsilon) if math.isfinite(epsilon) else epsilon
