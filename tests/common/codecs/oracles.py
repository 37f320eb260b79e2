"""Closed forms of the papers, errata applied, written without the package: what its codecs are compared with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
PointLaw = list[tuple[F64, float]]  # (what is decoded, its probability)


def axis(i: int, dim: int, length: float) -> F64:
    return np.array([length if j == i else 0.0 for j in range(dim)])


def cross_polytope(x: F64, gain: float) -> PointLaw:
    """a_(i, sgn v_i) = |v_i| / sqrt d + g / 2d, a_(i, -sgn v_i) = g / 2d, g = 1 - |v|_1 / sqrt d ([V] 5.3.1)."""
    d = len(x)
    v = [float(xi) / gain if gain else 0.0 for xi in x]
    g = 1 - sum(abs(vi) for vi in v) / math.sqrt(d)
    law = []
    for i, vi in enumerate(v):
        for sign in (1, -1):
            own = abs(vi) / math.sqrt(d) if vi * sign > 0 else 0.0
            law.append((axis(i, d, gain * sign * math.sqrt(d)), own + g / (2 * d)))
    return law


def simplex(x: F64, gain: float, radius: float) -> PointLaw:
    """sign(v_i) radius e_i with probability |v_i| / radius, 0 with the rest ([S] 4.1 and 4.2)."""
    d = len(x)
    v = [float(xi) / gain if gain else 0.0 for xi in x]
    law = [(axis(i, d, gain * math.copysign(radius, vi)), abs(vi) / radius) for i, vi in enumerate(v)]
    return [*law, (np.zeros(d), 1 - sum(abs(vi) for vi in v) / radius)]


def norm(x: F64, q: float) -> float:
    """|x|_q by definition, scaled so that nothing overflows."""
    top = max(abs(float(xi)) for xi in x)
    return top * math.fsum((abs(float(xi)) / top) ** q for xi in x) ** (1 / q) if top else 0.0


def clip(x: F64, bound: float, q: float) -> F64:
    return x * min(1.0, bound / norm(x, q)) if x.any() else x


class Oracle(NamedTuple):
    """One draw of a point set: its law for vectors in the ball of the l_q norm, and the public bound if any."""

    law: Callable[[F64, float], PointLaw]
    q: float
    bound: float | None = None


LAWS: dict[str, Oracle] = {
    "cross_polytope": Oracle(cross_polytope, 2),
    "cross_polytope(gain=bound(2.0))": Oracle(cross_polytope, 2, 2.0),
    "simq": Oracle(lambda x, g: simplex(x, g, 1.0), 1),
    "simq(gain=bound(2.5))": Oracle(lambda x, g: simplex(x, g, 1.0), 1, 2.5),
    "simq_plus(repeats=1)": Oracle(lambda x, g: simplex(x, g, math.sqrt(len(x))), 2),
    "simq_plus(repeats=1, gain=bound(0.5))": Oracle(lambda x, g: simplex(x, g, math.sqrt(len(x))), 2, 0.5),
    "simq_plus(repeats=1, p=4.0)": Oracle(lambda x, g: simplex(x, g, len(x) ** 0.25), 4 / 3),
    "simq_plus(repeats=1, p=3.0, gain=bound(2))": Oracle(
        lambda x, g: simplex(x, g, len(x) ** (1 / 3)), 1.5, 2.0
    ),
    "simq_plus(repeats=1, p=inf)": Oracle(lambda x, g: simplex(x, g, 1.0), 1),
}


def square(x: F64) -> float:
    return math.fsum(float(xi) ** 2 for xi in x)


def clipped(x: F64, bound: float, q: float, second: Callable[[F64], float]) -> float:
    """Noise around the clipped vector, and the square of what clipping took away."""
    kept = clip(x, bound, q)
    return second(kept) - square(kept) + square(x - kept)


VARIANCES: dict[str, Callable[[F64], float]] = {
    "cross_polytope": lambda x: (len(x) - 1) * square(x),
    "cross_polytope(repeats=7)": lambda x: (len(x) - 1) * square(x) / 7,
    "cross_polytope(gain=bound(2.0))": lambda x: clipped(x, 2.0, 2, lambda v: len(v) * 4.0),
    "simq": lambda x: norm(x, 1) ** 2 - square(x),
    "simq(repeats=3)": lambda x: (norm(x, 1) ** 2 - square(x)) / 3,
    "simq(gain=bound(2.5))": lambda x: clipped(x, 2.5, 1, lambda v: 2.5 * norm(v, 1)),
    "simq_plus(repeats=5)": lambda x: (math.sqrt(len(x)) * norm(x, 2) * norm(x, 1) - square(x)) / 5,
    "simq_plus(repeats=1, p=4.0)": lambda x: len(x) ** 0.25 * norm(x, 4 / 3) * norm(x, 1) - square(x),
}

# ceil(log2 of the number of vertices) a draw, 32 for a float32 gain, 0 for a public bound.
BITS = [
    ("cross_polytope", 1, 32 + 1),
    ("cross_polytope", 3, 32 + 3),
    ("cross_polytope", 4, 32 + 3),
    ("cross_polytope(gain=bound(1))", 5, 4),
    ("cross_polytope(repeats=100)", 795_010, 32 + 100 * 21),
    ("cross_polytope(repeats=100, gain=bound(1))", 12_332_010, 100 * 25),
    ("simq", 1, 32 + 2),
    ("simq", 3, 32 + 3),
    ("simq", 4, 32 + 4),
    ("simq(repeats=10, gain=bound(1))", 127, 80),
    ("simq(repeats=10, gain=bound(1))", 128, 90),
    ("simq_plus(p=2)", 65_536, 32 + 65_536 * 18),
    ("float32", 795_010, 32 * 795_010),
]
