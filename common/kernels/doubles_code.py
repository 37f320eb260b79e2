"""How many of the pairs in a subset code hold two stars: the one number there that needs a model.

With h pairs and n stars, w(t) = C(h, t) C(h - t, n - 2t) 2^(n - 2t) subsets have t doubles. The number t is coded
with the probability w(t) / sum(w), in integers: near the mode directly, farther out behind an escape. Successive
weights have the ratio

    w(t + 1) / w(t) = (n - 2t)(n - 2t - 1) / (4 (t + 1)(h - n + t + 1)),

which falls as t grows, so away from the mode the weights fall faster and faster. They are float64, by + - * / alone
and summed in one order: IEEE 754 fixes every bit, so all machines have the same table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradwire.common.kernels.arrays import F64, I64
from gradwire.common.kernels.range_coder import RangeDecoder, RangeEncoder

UNIT = (
    2.0**48
)  # a table's likeliest value; others are cut to integers, and so lose at most 2^-32 of themselves:
CUT = 2.0**-16  # weights below this, relative to the likeliest, belong to the next table
NOTHING = 2.0**-80  # what a sum in float64 no longer notices
FINE = (
    1 << 64
)  # parts of a unit in which a table and its escapes are weighed: an escape may weigh 2^-82 units

Ratios = Callable[[I64], F64]


class _Table(NamedTuple):
    """Consecutive numbers of doubles with their weights, and the weights of all fewer and of all more.

    ``values`` int64 [k], the likeliest first; ``edges`` int64 [k + 1], the sums of the weights before each, in
    units; ``sides``: the weights of all below ``low``, of all above ``high`` and of the table, in FINE parts of a
    unit.
    """

    values: I64
    edges: I64
    sides: tuple[int, int, int]
    low: int
    high: int


def encode_doubles(stars: int, pairs: int, doubles: int, coder: RangeEncoder) -> None:
    """Code the number of doubles, 0 to stars // 2, of ``stars`` <= ``pairs``."""
    table = _first(stars, pairs)
    while True:
        side = 0 if doubles < table.low else 1 if doubles > table.high else 2
        coder.encode(sum(table.sides[:side]), table.sides[side], sum(table.sides))
        if side == 2:
            at = int(np.flatnonzero(table.values == doubles)[0])
            coder.encode(*_span(table.edges, at), int(table.edges[-1]))
            return
        table = _next(stars, pairs, table, side)


def decode_doubles(stars: int, pairs: int, coder: RangeDecoder) -> int:
    """The number of doubles, 0 to stars // 2.

    Raises:
        PayloadError: no encoder's bits.
    """
    table = _first(stars, pairs)
    while True:
        target = coder.target(sum(table.sides))
        side = next(s for s in range(3) if target < sum(table.sides[: s + 1]))
        coder.take(sum(table.sides[:side]), table.sides[side])
        if side == 2:
            target = coder.target(int(table.edges[-1]))
            at = int(np.searchsorted(table.edges, target, side="right")) - 1
            coder.take(*_span(table.edges, at))
            return int(table.values[at])
        table = _next(stars, pairs, table, side)


def _span(edges: I64, at: int) -> tuple[int, int]:
    return int(edges[at]), int(edges[at + 1] - edges[at])


def _first(stars: int, pairs: int) -> _Table:
    """The table around the mode."""
    mode = _mode(stars, pairs)
    up, more = _falling(lambda k: _ratio(stars, pairs, mode + k), stars // 2 - mode)
    down, fewer = _falling(lambda k: 1.0 / _ratio(stars, pairs, mode - 1 - k), mode)
    values = np.concatenate([[mode], mode + 1 + np.arange(up.size), mode - 1 - np.arange(down.size)])
    return _table(values, np.concatenate([up, down]), fewer, more)


def _next(stars: int, pairs: int, table: _Table, side: int) -> _Table:
    """The table behind an escape, on the same side of the mode: its first value is the nearest and likeliest."""
    if side == 0:
        start = table.low - 1
        weights, rest = _falling(lambda k: 1.0 / _ratio(stars, pairs, start - 1 - k), start)
        return _table(start - np.arange(1 + weights.size), weights, rest, 0)
    start = table.high + 1
    weights, rest = _falling(lambda k: _ratio(stars, pairs, start + k), stars // 2 - start)
    return _table(start + np.arange(1 + weights.size), weights, 0, rest)


def _table(values: I64, weights: F64, fewer: int, more: int) -> _Table:
    edges = np.cumsum(np.concatenate([[0, UNIT], weights]).astype(np.int64))
    return _Table(values, edges, (fewer, more, int(edges[-1]) * FINE), int(values.min()), int(values.max()))


def _mode(stars: int, pairs: int) -> int:
    """The least t that is as likely as t + 1, by bisection in exact integers."""
    low, high = 0, stars // 2
    while low < high:
        t = (low + high) // 2
        left = stars - 2 * t
        rises = left * (left - 1) > 4 * (t + 1) * (pairs - stars + t + 1)
        low, high = (t + 1, high) if rises else (low, t)
    return low


def _ratio(stars: int, pairs: int, t: I64) -> F64:
    """w(t + 1) / w(t), float64."""
    left = stars - 2.0 * t
    return left * (left - 1) / (4.0 * (t + 1.0) * (float(pairs - stars) + t + 1.0))


def _falling(ratios: Ratios, count: int) -> tuple[F64, int]:
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
