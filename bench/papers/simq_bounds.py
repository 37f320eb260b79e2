"""What [S] prints: bits and rates of its theorems, as functions of the dimension and of p."""

from __future__ import annotations

import math

from gradwire.common.arrays.tetration import iterated_log
from gradwire.common.codecs.simq.split_constants import SplitConstants


def upper_bits(dim: int, p: float) -> float:
    """[S] Theorem 3.1's upper bound on r*(T, p), as printed: bits, not rounded.

    >>> round(upper_bits(65_536, 2)), upper_bits(1000, 1)
    (225620, 6002.0)
    """
    if p >= 2:
        bits: float = dim ** (2 / p) * math.log2(2 * math.e * dim ** (1 - 2 / p) + 2 * math.e)
        return bits
    return dim * (SplitConstants(dim, p).small_bits + 3.0) + ranges_bits(dim)


def lower_bits(dim: int, p: float, ratio: float = 1.0) -> float:
    """[S] Theorem 3.1's lower bound, for ratio = c_0 / (4 c_1): 1 shows how it grows.

    >>> lower_bits(1024, 2), lower_bits(1024, math.inf), lower_bits(1024, 1)
    (1024.0, 10.0, 102.4)
    """
    if p < 2:
        return ratio**2 * dim / max(1.0, math.log2(dim))
    power: float = (ratio * dim ** (1 / p)) ** 2
    return max(power, 2 * math.log2(ratio * math.sqrt(dim)), 0.0)


def ranges_bits(dim: int) -> int:
    """Delta_2 = ceil log2(1 + ln*(d / 3)), at least 1 (S4)."""
    return max(1, math.ceil(math.log2(1 + iterated_log(dim / 3))))


def simq_plus_bits(dim: int, k: int) -> float:
    """[S] Theorem 4.2: k log e + k log(d / k + 1) + k."""
    return k * math.log2(math.e) + k * math.log2(dim / k + 1) + k


def draws(dim: int, p: float) -> int:
    """K of SimQ+ at the classic rate: d^(2/p), rounded down (S7)."""
    exact: float = dim ** (2 / p)
    return max(1, math.floor(exact + 1e-9))


def constants(dim: int) -> tuple[float, float]:
    """c_0 and c_1 that follow from the proofs of [S] Theorems 6.1 (second bound) and 2.2 for p = 2.

    c_0: by Gilbert and Varshamov there is a d/4-packing of 2^(c_2 d) words, c_2 = 1 - h(1/4) = 0.189. The right side
    (DB delta / 4) (1 - 1 / (c_2 d) - 360 T delta^2 min(r, d) / (c_2 d)), with informations in nats, is largest where
    the last term is a third of what is before it. c_1 = 1: projected subgradient descent within a diameter.

    >>> [round(c, 5) for c in constants(1024)]
    [0.00181, 1.0]
    """
    c2 = math.log(2) * (1 + 0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    left = max(0.0, 1 - 1 / (c2 * dim))
    return left**1.5 / 6 * math.sqrt(c2 / 1080), 1.0
