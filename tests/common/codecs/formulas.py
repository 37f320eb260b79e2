"""Payload lengths as theory.md states them, written down a second time: nothing here calls a codec or a kernel.

One entry a family: specs, and a function of the dimension that says how many bits their payloads have (``None``: the
point set does not exist there, and the codec must say so).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import gammaln

from gradwire.common.codecs.vqsgd.points import RHOMBIC, TETRAHEDRON

Formula = Callable[[int], int | None]
NORM = 32  # the gain as a float32


# ---- numbers -----------------------------------------------------------------------------------------------


def ceil_log2(n: int) -> int:
    """Bits that tell n things apart."""
    bits = 0
    while 1 << bits < n:
        bits += 1
    return bits


def power_of_two(d: int) -> int:
    return 1 << ceil_log2(d)


def _ceil(value: float) -> int:
    """The ceiling of a float64 computation, which must not be so near an integer that its rounding decides."""
    assert abs(value - round(value)) > 1e-5, f"{value} is too near an integer for float64: compute it exactly"
    return math.ceil(value)


def _log2_choose(n: float, k: np.ndarray | float) -> np.ndarray | float:
    return (gammaln(n + 1.0) - gammaln(np.asarray(k) + 1.0) - gammaln(n - np.asarray(k) + 1.0)) / math.log(2)


def choose_bits(n: int, k: int) -> int:
    """ceil log2 C(n, k), exactly where the integer is small enough to write down."""
    k = min(k, n - k)
    return ceil_log2(math.comb(n, k)) if k <= 2000 else _ceil(float(_log2_choose(n, k)))


def multiset(symbols: int, draws: int) -> int:
    """ceil log2 C(|C| + s - 1, s): how often each symbol was drawn (theory 3)."""
    return choose_bits(symbols + draws - 1, draws)


def delannoy(d: int, k: int) -> int:
    """ceil log2 of sum_j C(d, j) C(k, j) 2^j: integer points of the l1 ball of radius k (theory 2.1)."""
    if min(d, k) <= 2000:
        return ceil_log2(sum(math.comb(d, j) * math.comb(k, j) << j for j in range(min(d, k) + 1)))
    j = np.arange(min(d, k) + 1)
    terms = np.asarray(_log2_choose(d, j) + _log2_choose(k, j) + j)
    return _ceil(float(terms.max() + np.log2(np.exp2(terms - terms.max()).sum())))


def elias_fano(universe: int, draws: int) -> int:
    """min over l of s l + s + ((U - 1) >> l)."""
    return min(draws * low + draws + ((universe - 1) >> low) for low in range(ceil_log2(universe) + 1))


def iterated_log(x: float) -> int:
    return 0 if x <= 1 else 1 + iterated_log(math.log(x))


def range_bits(size: int) -> int:
    """log2 h = ceil log2(1 + ln*(D / 3))."""
    return ceil_log2(1 + iterated_log(size / 3))


# ---- families that need more than a line -------------------------------------------------------------------


def ratq_shape(d: int, level_bits: int | None = None) -> int:
    """ceil(D / s) log2 h + D log2(k + 1), s = max(1, log2 h), log2(k + 1) = ceil log2(2 + sqrt(9 + 3 ln s))."""
    size = power_of_two(d)
    group = max(1, range_bits(size))
    level_bits = level_bits or math.ceil(math.log2(2 + math.sqrt(9 + 3 * math.log(group))))
    return math.ceil(size / group) * range_bits(size) + size * level_bits


def ratq_budget(d: int, budget: int) -> int:
    """Single coordinates, s = 1: log2 h + 3 bits each, as many as the budget pays for; all in groups if it can."""
    if NORM + ratq_shape(d) <= budget:
        return NORM + ratq_shape(d)
    one = range_bits(power_of_two(d)) + 3
    return NORM + (budget - NORM) // one * one


def split(d: int, q: float, positions: str | None = None) -> int:
    """The split quantizer of theory 2.4: mask or set of the large ones, small ones by CUQ, large ones by RATQ."""
    if positions is None:
        fast = ("mask", "elias_fano")
        return min(split(d, q, code) for code in (fast if d > 2**20 else (*fast, "set")))
    d2 = max(1, range_bits(d))
    d1 = math.ceil(math.log2(2 + math.sqrt(18 + 6 * math.log(d2)) * d ** (0.5 - 1 / q)))
    small = math.ceil(math.log2(2 * math.sqrt(2) * d1 ** (1 / q) + 2))
    large = 0 if math.isinf(q) else math.ceil(d / d1) - 1
    if large == 0:
        return NORM + d * small
    place = {"mask": d, "set": choose_bits(d, large), "elias_fano": elias_fano(d, large)}[positions]
    return NORM + place + (d if positions == "mask" else d - large) * small + ratq_shape(large, d1)


def aguq(horizon: int, a: int = 2) -> int:
    """ceil log2 h + ceil log2(2 + sqrt(1 + a (h - 1)) / 2), h = 1 + ceil log_a T."""
    ranges = 1 + math.ceil(math.log(horizon, a) - 1e-9)
    return ceil_log2(ranges) + math.ceil(math.log2(2 + math.sqrt(1 + a * (ranges - 1)) / 2))


def nearest(d: int, blocks: int) -> int:
    """ceil of sum log2 2m, blocks as equal as they can be, of the rotated coordinates, at least 64."""
    size = max(64, power_of_two(d))
    sizes = [size // blocks + (b < size % blocks) for b in range(blocks)]
    return NORM + ceil_log2(math.prod(2 * m for m in sizes))


def top_signs(d: int, count: int, rotations: int = 1) -> int:
    return NORM + choose_bits(max(64, power_of_two(d)), count) + count + ceil_log2(rotations)


def eden(d: int, bits: float) -> int:
    """Of D coordinates, frac(bits) D have one bit more than the others."""
    size = max(64, power_of_two(d))
    return NORM + size * math.floor(bits) + round((bits - math.floor(bits)) * size)


def net(d: int, covering: float) -> int | None:
    """A cube's surface in cells (m + 1)^d - (m - 1)^d, m^2 >= (d - 1) (1 / e^2 - 1 / 4); at most 2^40 points."""
    if d > 40:
        return None
    m = max(1, math.ceil(math.sqrt((d - 1) * (1 / covering**2 - 0.25))))
    points = (m + 1) ** d - (m - 1) ** d
    return NORM + ceil_log2(points) if points <= 1 << 40 else None


def linear_code(d: int) -> int | None:
    """RM(1, p): 1 + p bits, up to p = 20."""
    return NORM + 1 + ceil_log2(d) if ceil_log2(d) <= 20 else None


def trits(d: int) -> int:
    """Five to a byte; what is left over in the fewest bits."""
    return 8 * (d // 5) + ceil_log2(3 ** (d % 5))


# ---- the table ---------------------------------------------------------------------------------------------

FORMULAS: dict[str, dict[str, Formula]] = {
    "float32": {"float32": lambda d: 32 * d},
    # vqSGD: ceil(log2 |C|) a draw, and what joint, multiset and Elias-Fano make of s of them
    "cross_polytope": {
        "cross_polytope": lambda d: NORM + ceil_log2(2 * d),
        "cross_polytope(100)": lambda d: NORM + 100 * ceil_log2(2 * d),
        "cross_polytope(100, gain=bound(1.0), scale=2.0)": lambda d: 100 * ceil_log2(2 * d),
        "cross_polytope(100, coding=joint)": lambda d: NORM + ceil_log2((2 * d) ** 100),
        "cross_polytope(100, coding=multiset)": lambda d: NORM + multiset(2 * d, 100),
        "cross_polytope(5000, coding=multiset)": lambda d: NORM + multiset(2 * d, 5000),
        "cross_polytope(100, coding=elias_fano)": lambda d: NORM + elias_fano(2 * d, 100),
    },
    "reed_muller": {
        "reed_muller(10)": lambda d: NORM + 10 * (1 + ceil_log2(d)),
        "reed_muller(10, coding=multiset)": lambda d: NORM + multiset(2 * power_of_two(d), 10),
    },
    "simplex": {"simplex(7)": lambda d: NORM + 7 * ceil_log2(d + 1)},
    "hadamard": {"hadamard(repeats=7)": lambda d: NORM + 7 * ceil_log2(power_of_two(d + 1))},
    "gaussian": {
        "gaussian": lambda d: NORM + 8 if 4 * d <= 2**8 else None,
        "gaussian(9, repeats=3)": lambda d: NORM + 27 if 4 * d <= 2**9 else None,
    },
    "points": {  # 14 points in space, and 4
        f"points({RHOMBIC}, repeats=5)": lambda d: NORM + 5 * 4 if d == 3 else None,
        f"points({TETRAHEDRON}, repeats=2, gain=bound(1.0))": lambda d: 2 * 2 if d == 3 else None,
    },
    "epsilon_net": {
        "epsilon_net": lambda d: net(d, 0.75),
        "epsilon_net(0.1)": lambda d: net(d, 0.1),
    },
    "linear_code": {"linear_code": linear_code},
    # SimQ
    "simq": {
        "simq": lambda d: NORM + ceil_log2(2 * d + 1),
        "simq(50, gain=bound(3.0), coding=multiset)": lambda d: multiset(2 * d + 1, 50),
    },
    "simq_plus": {
        "simq_plus(p=4.0)": lambda d: NORM + math.isqrt(d) * ceil_log2(2 * d + 1),
        "simq_plus(p=inf)": lambda d: NORM + ceil_log2(2 * d + 1),
        "simq_plus": lambda d: NORM + d * ceil_log2(2 * d + 1),
        "simq_plus(coding=type_signs)": lambda d: NORM + multiset(d + 1, d) + d,
        "simq_plus(3000, coding=type_signs)": lambda d: NORM + multiset(d + 1, 3000) + 3000,
        "simq_plus(3000, coding=l1_ball)": lambda d: NORM + delannoy(d, 3000),
        "simq_plus(100, coding=l1_ball)": lambda d: NORM + delannoy(d, 100),
    },
    "cuq": {
        "cuq": lambda d: NORM + 3 * d,
        "cuq(levels=15, gain=bound(1.0))": lambda d: 4 * d,
        "cuq(levels=4)": lambda d: NORM + 2 * d,
    },
    "ratq": {
        "ratq": lambda d: NORM + ratq_shape(d),
        "ratq(gain=bound(1.0), levels=15)": lambda d: ratq_shape(d, 4),
        "ratq(budget=500)": lambda d: ratq_budget(d, 500),
    },
    "lq_split": {
        "lq_split(p=1.5)": lambda d: split(d, 3.0),
        "lq_split(p=1.0)": lambda d: split(d, math.inf),
        "lq_split(p=1.25)": lambda d: split(d, 5.0),
        "lq_split(p=1.5, positions=mask)": lambda d: split(d, 3.0, "mask"),
        "lq_split(p=1.5, positions=set)": lambda d: split(d, 3.0, "set"),
        "lq_split(p=1.5, positions=elias_fano)": lambda d: split(d, 3.0, "elias_fano"),
    },
    "float32_tail": {
        "float32_tail(float32, size=2)": lambda d: 32 * d if d > 2 else None,
        "float32_tail(subsample(inner=cuq, count=2), size=2)": lambda d: 2 * 32 + NORM + 6 if d > 3 else None,
    },
    "subsample": {
        "subsample(0.1, cuq)": lambda d: NORM + 3 * max(1, round(0.1 * d)),
        "subsample(inner=cuq, count=2)": lambda d: NORM + 6,
        "subsample(budget=100, inner=cuq)": lambda d: NORM + 3 * min(d, (100 - NORM) // 3),
    },
    "rotated": {"rotated(1, cuq)": lambda d: NORM + 3 * power_of_two(d)},
    "gain_shape": {
        "gain_shape(aguq(1.0, 1000), ratq)": lambda d: aguq(1000) + ratq_shape(d),
        "gain_shape(aguq(1.0, 1000000), simq)": lambda d: aguq(10**6) + ceil_log2(2 * d + 1),
        "gain_shape(exact, cross_polytope(3))": lambda d: NORM + 3 * ceil_log2(2 * d),
    },
    # Mechanisms: randomized response leaves the coding as it is, others send K bits or a subset of K vertices.
    "private": {
        "private(rr(4.0), cross_polytope(repeats=10))": lambda d: 10 * ceil_log2(2 * d),
        "private(rr(4.0), cross_polytope(repeats=10, coding=multiset))": lambda d: multiset(2 * d, 10),
        "private(rr(2.0), reed_muller)": lambda d: 1 + ceil_log2(d),
        "private(rappor(1.0), cross_polytope(repeats=2))": lambda d: 2 * 2 * d,
        "private(oue(2.0), simplex)": lambda d: d + 1 if d < 1 << 28 else None,  # a bit per vertex
        "private(subset_selection(2.0, 2), cross_polytope(repeats=3))": lambda d: 3 * choose_bits(2 * d, 2),
    },
    "private_top": {
        "private_top(4.0)": lambda d: ceil_log2(2 * max(64, power_of_two(d))),
        "private_top(4.0, axes=3, repeats=5)": lambda d: 5 * ceil_log2(6),
    },
    # baselines
    "qsgd": {
        "qsgd(coding=fixed)": lambda d: NORM + 2 * d,
        "qsgd(levels=7, coding=fixed)": lambda d: NORM + 4 * d,
        # At most, at one level: the count of levels that are not 0, then distance 1, sign and level of every one.
        "qsgd": lambda d: NORM + ceil_log2(d + 1) + 3 * d,
        "qsgd(coding=omega_dense)": lambda d: NORM + 4 * d,
    },
    "dme": {
        "dme": lambda d: 2 * NORM + d,
        "dme(levels=16)": lambda d: 2 * NORM + 4 * d,
        "dme(levels=16, rotate=true)": lambda d: 2 * NORM + 4 * power_of_two(d),
        "dme(levels=4, entropy_coded=true)": lambda d: 2 * NORM + 3 * ceil_log2(d + 1) + 2 * d,  # at most
    },
    "terngrad": {"terngrad": lambda d: NORM + trits(d)},
    "cpsgd": {
        "cpsgd": lambda d: d * ceil_log2(16 + 64),
        "cpsgd(levels=16, trials=240)": lambda d: d * ceil_log2(16 + 240),
    },
    "sign": {"sign": lambda d: NORM + d},
    "onebit": {"onebit": lambda d: 2 * NORM + d},
    "top_k": {
        "top_k(k=3)": lambda d: 3 * (32 + ceil_log2(d)),
        "top_k(k=3, coding=set)": lambda d: 3 * 32 + choose_bits(d, 3),
    },
    "rand_k": {"rand_k(k=3)": lambda d: 3 * 32},
    "natural": {"natural": lambda d: 9 * d},
    "eden": {
        "eden": lambda d: eden(d, 1),
        "eden(2.5)": lambda d: eden(d, 2.5),
        "eden(0.25)": lambda d: eden(d, 0.25),
    },
    "drive": {"drive": lambda d: eden(d, 1)},
    # beyond both papers
    "l1_systematic": {
        "l1_systematic(100)": lambda d: NORM + delannoy(d, 100),
        "l1_systematic(100, coding=multiset)": lambda d: NORM + multiset(2 * d + 1, 100),
    },
    "nearest": {"nearest": lambda d: nearest(d, 1), "nearest(60)": lambda d: nearest(d, 60)},
    "top_signs": {
        "top_signs(40)": lambda d: top_signs(d, 40),
        "top_signs(64)": lambda d: top_signs(d, 64),
        "top_signs(40, rotations=5)": lambda d: top_signs(d, 40, 5),
    },
}
