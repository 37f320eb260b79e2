"""All private mechanisms of the library as rows, with what [V] prints of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from gradwire.bench.private_schemes import ROWS, Formula
from gradwire.common.codecs import AnyCodec, parse

MOST_REPORTS = 8
Own = Callable[[int], float]


@dataclass(frozen=True)
class Printed:
    """What [V] states: a variance for |x| <= 1 with the constants of its proof, and where."""

    variance: Callable[[int], float]
    text: str
    where: str


@dataclass(frozen=True)
class Mechanism:
    """A row.

    Attributes:
        title: in tables and legends.
        spec: a codec's, with places for the payload's epsilon {e}, or the number of its reports {k} and the epsilon of
            each {each}.
        formula: its variance for (d, epsilon), computed apart from the codec, errata applied; None where there is none.
        printed: what [V] states of it; None where the mechanism is not the paper's.
        own: the epsilon of a point set that is private by itself, by d; None where epsilon can be chosen.
        most: reports that a payload may have; the number with the least stated variance is taken.
    """

    title: str
    spec: str
    formula: Formula | None = None
    printed: Printed | None = None
    own: Own | None = None
    most: int = 1

    def codec(self, dim: int, epsilon: float) -> AnyCodec:
        """The codec at that epsilon; with several reports, the number that has the least stated variance."""
        found = [
            parse(self.spec.format(e=repr(epsilon), each=repr(epsilon / k), k=k), dim)
            for k in range(1, self.most + 1)
        ]
        return min(found, key=lambda codec: codec.variance())


def _simplex_epsilon(d: int) -> float:
    r = math.sqrt(9 - 8 / d)
    return math.log((4 + r) / (4 - r))


def _scaled_epsilon(d: int) -> float:
    return math.log(2 * math.sqrt(d) + 2 - 1 / math.sqrt(d))


RR_OF_PAPER = Printed(lambda d: 2.0 * d * d, "|C| R² = 2d²", "Theorem 16")
RAPPOR_OF_PAPER = Printed(lambda d: 2.0 * d * d, "|C| R² = 2d²", "Theorem 17")
_FORMULAS = {row.title: row for row in ROWS}


def _row(title: str, printed: Printed | None = None) -> Mechanism:
    row = _FORMULAS[title]
    assert row.spec is not None
    return Mechanism(title, row.spec, row.formula, printed)


CHOSEN = (
    _row("cross-polytope, rr, nominal epsilon (vqSGD)", RR_OF_PAPER),
    _row("cross-polytope, rr, exact epsilon"),
    Mechanism(
        "cross-polytope, rr, exact epsilon, best number of draws",
        "private(rr({each}), cross_polytope(repeats={k}))",
        most=MOST_REPORTS,
    ),
    _row("cross-polytope, RAPPOR (vqSGD)", RAPPOR_OF_PAPER),
    _row("cross-polytope, OUE"),
    _row("cross-polytope, subset selection, nominal"),
    Mechanism("cross-polytope, subset selection, exact epsilon", "private(subset_selection({e}))"),
    _row("Hadamard set, kappa = coth(epsilon / 2)"),
    Mechanism("simplex, rr, exact epsilon (below ln 7)", "private(rr({e}), simplex)"),
    _row("random hyperplane, one bit"),
    _row("rotated cross-polytope, private top"),
    Mechanism(
        "rotated cross-polytope, private top, best number of reports",
        "private_top({e}, repeats={k})",
        most=MOST_REPORTS,
    ),
)  # of any epsilon

FIXED = (
    Mechanism(
        "simplex (vqSGD)",
        "simplex(gain=bound(1))",
        lambda d, _: (8 * d * (d + 2) + 2 * (d - 4) * math.sqrt(d)) / 3 - 1,
        Printed(lambda d: 4.0 * d * d, "R² = 4d²", "Proposition 13: epsilon > ln 7"),
        _simplex_epsilon,
    ),
    Mechanism(
        "Hadamard set, kappa = 2 (vqSGD)",
        "hadamard(kappa=2, gain=bound(1))",
        lambda d, _: 4.0 * d * d - 1,
        Printed(lambda d: 4.0 * d * d, "R² = 4d²", "Proposition 14: epsilon > ln(1 + sqrt 2) = 0.881"),
        lambda _: math.log(3),
    ),
    Mechanism(
        "cross-polytope times 2 (vqSGD)",
        "cross_polytope(scale=2, gain=bound(1))",
        lambda d, _: 4.0 * d - 1,
        Printed(float, "d", "Table 3, Proposition 15: epsilon > ln d"),
        _scaled_epsilon,
    ),
)  # private by themselves, each at one epsilon

BY_TITLE = {mechanism.title: mechanism for mechanism in (*CHOSEN, *FIXED)}
