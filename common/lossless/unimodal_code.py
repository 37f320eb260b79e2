"""A number whose weights rise to a mode and fall behind it, coded with the probabilities weight / sum of weights.

The law is given by the ratios of successive weights, which fall. Numbers near the mode are coded from a table, others
behind an escape by further tables, so no number is too unlikely. Weights are float64, by + - * / alone and added in
one order: IEEE 754 fixes every bit, and all machines have the same tables.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.logarithms import log2
from gradwire.common.lossless.range_coder import RangeDecoder, RangeEncoder

# A table's likeliest value; others are cut to integers, and so lose at most 2^-32 of themselves:
UNIT = 2.0**48
CUT = 2.0**-16  # weights below this, relative to the likeliest, belong to the next table
NOTHING = 2.0**-80  # relative weights below this do not change a float64 sum
# Parts of a unit in which a table and its escapes are weighed: an escape may weigh 2^-82 units
FINE = 1 << 64


class Law(NamedTuple):
    """Weights w(t) of the numbers t = 0 … ``most``.

    ``ratio``: w(t + 1) / w(t) of an array of t, float64, falling; ``rises``: exactly, whether w(t + 1) > w(t).
    """

    most: int
    ratio: Callable[[I64], F64]
    rises: Callable[[int], bool]

    def mode(self) -> int:
        """The least t that is as heavy as t + 1, by bisection."""
        low, high = 0, self.most
        while low < high:
            t = (low + high) // 2
            low, high = (t + 1, high) if self.rises(t) else (low, t)
        return low


class _Table(NamedTuple):
    """Consecutive numbers with their weights, and the weights of all fewer and of all more.

    ``values`` int64 [k], the likeliest first; ``edges`` int64 [k + 1], the sums of the weights before each, in units;
    ``sides``: the weights of all below ``low``, of all above ``high`` and of the table, in FINE parts of a unit.
    """

    values: I64
    edges: I64
    sides: tuple[int, int, int]
    low: int
    high: int


def log2_mass(law: Law) -> Decimal:
    """log2 of the sum of all weights over the mode's; the sum is off by 2^-40 of itself at most."""
    table = _first(law)
    return log2(sum(table.sides), int(UNIT) * FINE)


def encode_number(number: int, law: Law, coder: RangeEncoder) -> None:
    """Code a number, 0 to ``law.most``."""
    table = _first(law)
    while True:
        side = 0 if number < table.low else 1 if number > table.high else 2
        coder.encode(sum(table.sides[:side]), table.sides[side], sum(table.sides))
        if side == 2:
            at = int(np.flatnonzero(table.values == number)[0])
            coder.encode(*_span(table.edges, at), int(table.edges[-1]))
            return
        table = _next(law, table, side)


def decode_number(law: Law, coder: RangeDecoder) -> int:
    """The number, 0 to ``law.most``.

    Raises:
        PayloadError: no encoder's bits.
    """
    table = _first(law)
    while True:
        target = coder.target(sum(table.sides))
        side = next(s for s in range(3) if target < sum(table.sides[: s + 1]))
        coder.take(sum(table.sides[:side]), table.sides[side])
        if side == 2:
            target = coder.target(int(table.edges[-1]))
            at = int(np.searchsorted(table.edges, target, side="right")) - 1
            coder.take(*_span(table.edges, at))
            return int(table.values[at])
        table = _next(law, table, side)


def _span(edges: I64, at: int) -> tuple[int, int]:
    return int(edges[at]), int(edges[at + 1] - edges[at])


def _first(law: Law) -> _Table:
    """The table around the mode."""
    mode = law.mode()
    up, more = _falling(lambda k: law.ratio(mode + k), law.most - mode)
    down, fewer = _falling(lambda k: 1.0 / law.ratio(mode - 1 - k), mode)
    values = np.concatenate([[mode], mode + 1 + np.arange(up.size), mode - 1 - np.arange(down.size)])
    return _table(values, np.concatenate([up, down]), fewer, more)


def _next(law: Law, table: _Table, side: int) -> _Table:
    """The table behind an escape, on the same side of the mode: its first value is the nearest and likeliest."""
    if side == 0:
        start = table.low - 1
        weights, rest = _falling(lambda k: 1.0 / law.ratio(start - 1 - k), start)
        return _table(start - np.arange(1 + weights.size), weights, rest, 0)
    start = table.high + 1
    weights, rest = _falling(lambda k: law.ratio(start + k), law.most - start)
    return _table(start + np.arange(1 + weights.size), weights, 0, rest)


def _table(values: I64, weights: F64, fewer: int, more: int) -> _Table:
    edges = np.cumsum(np.concatenate([[0, UNIT], weights]).astype(np.int64))
    return _Table(values, edges, (fewer, more, int(edges[-1]) * FINE), int(values.min()), int(values.max()))


def _falling(ratios: Callable[[I64], F64], count: int) -> tuple[F64, int]:
    """The weights of the next ``count`` values, in units, as far as they are above CUT, and the sum of the others.

    The weight before them is one unit; the sum is in FINE parts of a unit.
    """
    looked = 64
    while True:
        weights = np.multiply.accumulate(ratios(np.arange(min(looked, count))))
        if looked >= count or weights[-1] < NOTHING:
            break
        looked *= 4
    near = int((weights >= CUT).sum())
    far = float(np.add.accumulate(weights[near:])[-1]) if near < weights.size else 0.0
    return weights[:near] * UNIT, int(far * UNIT * FINE)
