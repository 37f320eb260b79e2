"""Subsets of a known size as one integer: ceil(log2 C(cells, size)) bits, whatever the subset.

A subset of ``stars`` out of ``cells`` is coded by halves of the *pairs* (2j, 2j + 1) of cells, not of the range.
Let ``doubles`` be the number of pairs with two stars. Then

    C(cells, stars) = sum over doubles of C(cells/2, stars - doubles) C(stars - doubles, doubles) 2^(stars - 2 doubles)

which gives the recursion: which pairs have a star (a subset), which of those have two (a subset), and one plain bit
for each of the others. So arrays do the work, level by level, and nothing is as long as ``cells``; all that needs a
model is ``doubles``, one number for every pair of subsets, in ``unimodal_code``. Small subsets are ranked exactly
(``ranking``). The probabilities multiply up to 1 / C(cells, stars) for every subset alike (theory 3), so
no subset, however chosen, is longer.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import F64, I64, U8
from gradwire.common.arrays.logarithms import ceiling, log2_binomial
from gradwire.common.errors import PayloadError
from gradwire.common.lossless.range_coder import RangeDecoder, RangeEncoder
from gradwire.common.lossless.ranking import rank, unrank
from gradwire.common.lossless.unimodal_code import Law, decode_number, encode_number

SMALL_STARS = 128  # subsets that are ranked by binomial coefficients: few stars
SMALL_CELLS = 160  # or few cells
RANK_BITS = 64  # of a rank that the range coder takes; the rest are plain bits
# Rounding of the model costs at most 2^-31 bits per number, and there are fewer than 4 numbers per star: more than
# SMALL_STARS stars make one on each of at most 41 levels, and a number far from its mean takes one more for every
# 14 bits it costs.
SLACK = Decimal(2.0**-28)  # bits per star


@lru_cache(maxsize=256)
def subset_bits(cells: int, stars: int) -> int:
    """The code's length: ceil(log2 C), and where stars are many ceil(log2 C + min(stars, bars) 2^-28).

    >>> subset_bits(795_010, 100), subset_bits(10, 0)
    (1436, 0)
    """
    stars = min(stars, cells - stars)
    if _is_small(cells, stars):
        return (comb(cells, stars) - 1).bit_length()
    return ceiling(log2_binomial(cells, stars), stars * SLACK)


def encode_subset(positions: I64, cells: int) -> int:
    """The code of increasing ``positions`` [stars] out of range(cells), below 2**subset_bits(cells, stars)."""
    nbits = subset_bits(cells, positions.size)
    positions = _sparser(positions, cells)
    if _is_small(cells, positions.size):
        return rank(positions)
    coder = RangeEncoder()
    plain: list[U8] = []
    put_subset(positions, cells, coder, plain)
    return finish(coder, plain, nbits)


def decode_subset(code: int, cells: int, stars: int) -> I64:
    """The increasing positions int64 [stars] that ``code`` stands for.

    Raises:
        PayloadError: an integer that is no subset's code.
    """
    fewer = min(stars, cells - stars)
    if _is_small(cells, fewer):
        found = _checked_unrank(code, cells, fewer)
    else:
        nbits = subset_bits(cells, stars)
        if code >> nbits:
            raise PayloadError("the code of a subset has too many bits: it is corrupt")
        coder = RangeDecoder(code, nbits)
        plan = plan_subset(fewer, cells, coder)
        found = planned_positions(plan, PlainBits(coder.finish(plan.plain_bits), plan.plain_bits))
    return found if fewer == stars else _complement(found, cells)


# ---- encoding ----------------------------------------------------------------------------------------------


def put_subset(positions: I64, cells: int, coder: RangeEncoder, plain: list[U8]) -> None:
    """One subset or its complement, whichever is sparser: symbols to the coder, plain bits to the list."""
    positions = _sparser(positions, cells)
    stars = positions.size
    if stars == 0:
        return
    if _is_small(cells, stars):
        _encode_rank(rank(positions), comb(cells, stars), coder, plain)
        return
    if cells % 2:
        last = int(positions[-1] == cells - 1)
        coder.encode(*((0, stars) if last else (stars, cells - stars)), cells)
        positions = positions[: stars - last]
    pairs = positions >> 1
    second = np.zeros(pairs.size, bool)
    np.equal(pairs[1:], pairs[:-1], out=second[1:])
    first = ~second
    double = np.append(second[1:], False)[first]
    encode_number(int(double.sum()), _law_of_doubles(pairs.size, cells // 2), coder)
    plain.append((positions[first][~double] & 1).astype(np.uint8))
    put_subset(pairs[first], cells // 2, coder, plain)
    put_subset(np.flatnonzero(double), double.size, coder, plain)


def finish(coder: RangeEncoder, plain: list[U8], nbits: int) -> int:
    """The whole message, symbols and plain bits, as an integer of ``nbits`` bits."""
    bits = np.concatenate([np.zeros(0, np.uint8), *plain])
    return coder.finish(nbits, _integer(bits), bits.size)


def _encode_rank(rank: int, count: int, coder: RangeEncoder, plain: list[U8]) -> None:
    low = _low_bits(count)
    coder.encode(rank >> low, 1, ((count - 1) >> low) + 1)
    plain.append(_bits_of(rank & ((1 << low) - 1), low))


# ---- decoding: first the symbols, from which the number of plain bits follows, then these ---------------------------


class Plan(NamedTuple):
    """The symbols of one subset.

    ``stars`` out of ``cells`` once it is made sparse (``flipped``: the subset is the others); ``last``: the odd
    cell at the end holds one; ``parts``: the pairs with a star, and those of them with two; none for a subset that
    is ranked, of which ``high`` is the beginning.
    """

    stars: int
    cells: int
    flipped: bool
    last: int
    high: int
    parts: tuple[Plan, ...]
    plain_bits: int


def plan_subset(stars: int, cells: int, coder: RangeDecoder) -> Plan:
    """Read the symbols of a subset of ``stars`` out of ``cells``.

    Raises:
        PayloadError: no encoder's bits.
    """
    flipped = 2 * stars > cells
    stars = cells - stars if flipped else stars
    if stars == 0:
        return Plan(stars, cells, flipped, 0, 0, (), 0)
    if _is_small(cells, stars):
        low = _low_bits(comb(cells, stars))
        high = coder.target(((comb(cells, stars) - 1) >> low) + 1)
        coder.take(high, 1)
        return Plan(stars, cells, flipped, 0, high, (), low)
    last = 0
    if cells % 2:
        last = int(coder.target(cells) < stars)
        coder.take(*((0, stars) if last else (stars, cells - stars)))
    doubles = decode_number(_law_of_doubles(stars - last, cells // 2), coder)
    singles = stars - last - 2 * doubles
    parts = plan_subset(singles + doubles, cells // 2, coder), plan_subset(doubles, singles + doubles, coder)
    return Plan(stars, cells, flipped, last, 0, parts, singles + sum(p.plain_bits for p in parts))


class PlainBits:
    """The plain bits of a message, in order."""

    def __init__(self, value: int, count: int) -> None:
        self._bits, self._at = _bits_of(value, count), 0

    def take(self, count: int) -> U8:
        self._at += count
        return self._bits[self._at - count : self._at]


def planned_positions(plan: Plan, plain: PlainBits) -> I64:
    """The increasing positions of a planned subset."""
    if plan.stars == 0:
        found = np.zeros(0, np.int64)
    elif not plan.parts:
        low = _low_bits(comb(plan.cells, plan.stars))
        found = _checked_unrank(plan.high << low | _integer(plain.take(low)), plan.cells, plan.stars)
    else:
        found = _merged(plan, plain)
    return _complement(found, plan.cells) if plan.flipped else found


def _merged(plan: Plan, plain: PlainBits) -> I64:
    occupied, both = plan.parts
    single_bits = plain.take(plan.stars - plan.last - 2 * _size(both))
    pairs = planned_positions(occupied, plain)
    double = np.zeros(pairs.size, bool)
    double[planned_positions(both, plain)] = True
    copies = np.repeat(2 * pairs, 1 + double)
    starts = np.arange(pairs.size) + np.cumsum(double) - double
    copies[starts[~double]] += single_bits
    copies[starts[double] + 1] += 1
    return np.append(copies, plan.cells - 1) if plan.last else copies


def _size(plan: Plan) -> int:
    return plan.cells - plan.stars if plan.flipped else plan.stars


# ---- both ways ---------------------------------------------------------------------------------------------


def _law_of_doubles(stars: int, pairs: int) -> Law:
    """C(pairs, t) C(pairs - t, stars - 2t) 2^(stars - 2t) subsets have t doubles, where ``stars`` <= ``pairs``."""

    def ratio(t: I64) -> F64:
        left = stars - 2.0 * t
        return left * (left - 1) / (4.0 * (t + 1.0) * (float(pairs - stars) + t + 1.0))

    def rises(t: int) -> bool:
        left = stars - 2 * t
        return left * (left - 1) > 4 * (t + 1) * (pairs - stars + t + 1)

    return Law(stars // 2, ratio, rises)


def _is_small(cells: int, stars: int) -> bool:
    return stars <= SMALL_STARS or cells <= SMALL_CELLS


def _low_bits(count: int) -> int:
    return max(0, count.bit_length() - RANK_BITS)


def _checked_unrank(rank: int, cells: int, stars: int) -> I64:
    if rank >= comb(cells, stars):
        raise PayloadError(
            f"the rank of a subset of {stars} out of {cells} is beyond the last: it is corrupt"
        )
    return unrank(rank, cells, stars)


def _sparser(positions: I64, cells: int) -> I64:
    return _complement(positions, cells) if 2 * positions.size > cells else positions


def _complement(positions: I64, cells: int) -> I64:
    """The other cells; only called where they are not many more than the positions, or were so when encoding."""
    left: NDArray[np.bool_] = np.ones(cells, bool)
    left[positions] = False
    return np.flatnonzero(left)


def _integer(bits: U8) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big") >> -bits.size % 8


def _bits_of(value: int, count: int) -> U8:
    packed = (value << -count % 8).to_bytes((count + 7) // 8, "big")
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=count)
