"""The rows of [V] Table 1: the codec of each, and the table's formulas evaluated at N = 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Formula = Callable[[int], float]

SMALL, DIMS = (
    4,
    (4, 128, 1024, 65_536, 795_010),
)  # in SMALL coordinates every set exists and can be enumerated
EPSILON = 1.0  # of the mechanisms that take one
INDEX_BITS = 10  # c of the Gaussian set
COVERING = 0.9  # of the epsilon-net


@dataclass(frozen=True)
class PointSet:
    """A row.

    Attributes:
        title: name in the table.
        codec: spec, under the public bound 1 where the set allows it: then a payload is the index alone.
        error: the printed error, a function of d; orders are taken with the constant 1.
        bits: the printed bits per worker.
        epsilon: the printed epsilon: every larger one is claimed; None where none is.
        efficiency: the printed time of an encoder.
        dims: where the set exists; None for every dimension.
        enumerable: the largest dimension at which all payloads are enumerated.
        errata: numbers of the errata in theory 1.4 that concern the row.
    """

    title: str
    codec: str
    error: Formula
    bits: Formula
    epsilon: Formula | None
    efficiency: str
    dims: tuple[int, ...] = DIMS
    enumerable: int = 1024
    errata: str = ""


def _d(d: int) -> float:
    return float(d)


def _square(d: int) -> float:
    return float(d) ** 2


def _log2_2d(d: int) -> float:
    return math.log2(2 * d)


def _chosen(d: int) -> float:
    return EPSILON


POINT_SETS = (
    PointSet(
        "Gaussian",
        f"gaussian({INDEX_BITS})",
        lambda d: d / INDEX_BITS,
        lambda d: float(INDEX_BITS),
        None,
        "exp(c)",
        dims=(SMALL, 128),
        errata="V10",
    ),
    PointSet("Reed-Muller", "reed_muller(gain=bound(1.0))", _d, _log2_2d, None, "d", errata="V7"),
    PointSet("cross-polytope", "cross_polytope(gain=bound(1.0))", _d, _log2_2d, math.log, "d", errata="V2"),
    PointSet(
        "cross-polytope times 2 (Prop 15)",
        "cross_polytope(scale=2, gain=bound(1.0))",
        _d,
        _log2_2d,
        math.log,
        "d",
        errata="V2",
    ),
    PointSet(
        "epsilon-net",
        f"epsilon_net({COVERING}, gain=bound(1.0))",
        lambda d: 1 / (1 - COVERING),
        lambda d: d * math.log2(1 + 2 / COVERING),
        None,
        "(1 / e)^d",
        dims=(SMALL,),
        errata="V6, V13",
    ),
    PointSet(
        "simplex",
        "simplex(gain=bound(1.0))",
        _square,
        lambda d: math.log2(d + 1),
        lambda d: math.log(7),
        "d",
        errata="V5",
    ),
    PointSet(
        "Hadamard",
        "hadamard(gain=bound(1.0))",
        _square,
        math.log2,
        lambda d: math.log(1 + math.sqrt(2)),
        "d",
        errata="V1",
    ),
    PointSet(
        "cross-polytope + RR, as printed",
        f"private(rr({EPSILON}, nominal=true))",
        _square,
        _log2_2d,
        _chosen,
        "d",
        errata="V3",
    ),
    PointSet(
        "cross-polytope + RR, exact epsilon",
        f"private(rr({EPSILON}))",
        _square,
        _log2_2d,
        _chosen,
        "d",
        errata="V3",
    ),
    PointSet(
        "cross-polytope + RAPPOR",
        f"private(rappor({EPSILON}))",
        _square,
        lambda d: 2.0 * d,
        _chosen,
        "d",
        enumerable=SMALL,
        errata="V4",
    ),
)
BY_TITLE = {row.title: row for row in POINT_SETS}
