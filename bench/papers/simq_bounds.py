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
    [0.00182, 1.0]
    """
    return _largest(dim, PRODUCT_INFORMATION), 1.0


PRODUCT_INFORMATION = 360.0  # I(V; Q(Y)) <= this delta^2 min(r, d) nats, [S] section 6
# For the first bound [S] prints 1, which is too small: without quantization V and Y share 2 delta^2 nats. Proved in
# theory 2.7.
AXES_INFORMATION = 4.0


def axes_constant(dim: int) -> float:
    """c_0 of the first bound of [S] Theorem 6.1, in the same way.

    >>> round(axes_constant(1024), 4)
    0.0173
    """
    return _largest(dim, AXES_INFORMATION)


def _largest(dim: int, information: float) -> float:
    """The factor of DB sqrt(d / (T min(…))): (delta / 4) (left - K T delta^2 min(…) / (c_2 d)) at the best delta."""
    nats = math.log(2) * (1 + 0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    left = max(0.0, 1 - math.log(2) / (nats * dim))
    factor: float = left**1.5 / 6
    return factor * math.sqrt(nats / (3 * information))


def lower_gap(dim: int, p: float, bits: float, rounds: int) -> float:
    """What the gap of any algorithm is at least on its worst function, for D = 2 and B = 1: [S] Theorems 6.1 and 6.2.

    The constants are ``constants`` and ``axes_constant``. The proof's delta must be below 1/2: for the first bound that
    takes dim^2 / (20 min(2^r, dim)) rounds.

    Args:
        dim: d.
        p: of the norm.
        bits: r of a gradient.
        rounds: T.
    """
    second = constants(dim)[0] * math.sqrt(dim / min(dim, bits))
    if p < 2:
        return 2 * second / math.sqrt(rounds)
    first: float = axes_constant(dim) * dim ** (0.5 - 1 / p) * math.sqrt(dim / min(dim, 2.0 ** min(bits, 64)))
    return 2 * max(first, second) / math.sqrt(rounds)


def shape_of_lower_gap(dim: int, p: float, bits: float) -> float:
    """The same up to constants, over what it is at unlimited precision: both bounds with one c_0.

    >>> shape_of_lower_gap(64, 2, 16), shape_of_lower_gap(64, 2, 64)
    (2.0, 1.0)
    """
    second = math.sqrt(dim / min(dim, bits))
    if p < 2:
        return second
    scale = float(dim ** (0.5 - 1 / p))
    return max(scale * math.sqrt(dim / min(dim, 2.0 ** min(bits, 64))), second) / scale
