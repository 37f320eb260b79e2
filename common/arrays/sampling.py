"""Drawing coordinates in proportion to magnitude, exactly, without a cumulative sum over the vector."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.blocks import LANES, ROWS, BlockSums, first_of
from gradwire.common.arrays.compat import F64, I64, Array, is_tensor, like, namespace, to_host
from gradwire.common.randomness import Coins

SLAB = 1 << 13  # blocks read at once: 8 MiB of float64
# Up to so many blocks (512 KiB of float32) are copied from a device to the host instead of being searched there,
# if they are at most a sixteenth of all.
FEW = 1 << 10
FEW_SHARE = 16


@dataclass(frozen=True)
class Drawn:
    """Draws: ``coordinate`` int64 [count], -1 for one that fell on the rest; ``negative`` bool [count]."""

    coordinate: I64
    negative: NDArray[np.bool_]


def draw_coordinates(x: Array, sums: BlockSums, total: float, count: int, coins: Coins) -> Drawn:
    """Draw ``count`` times: coordinate i with probability ``|x_i| / total``, the rest with what is left.

    A block is proposed with probability (its bound / total); a second uniform then lands inside the block's
    true cumulative sum, which accepts a coordinate, or beyond it, which falls on the rest. The product is
    exact.

    Args:
        x: float array [dim], NumPy or torch; only the drawn blocks are read.
        sums: ``block_sums(x)``.
        total: at least ``sums.total``.
    """
    uniforms = coins.uniforms(2 * count)
    blocks = np.searchsorted(np.cumsum(sums.bounds), uniforms[:count] * total, side="right")
    heights = uniforms[count:] * np.append(sums.bounds, 0.0)[blocks]
    return coordinates_at(x, sums, blocks, heights)


def draw_systematically(x: Array, sums: BlockSums, total: float, count: int, coins: Coins) -> Drawn:
    """Draw ``count`` times with one uniform u: the coordinates at (u + j) / count of the running sum of magnitudes.

    Coordinate i is drawn floor or ceil of a_i = count ``|x_i| / total`` times, and a_i times on average. The sum
    runs over blocks; behind each is a gap as long as its bound is above its own sum, and what falls there falls on
    the rest. So bounds that are not tight change the order of coordinates and gaps, and no coordinate's length.

    Args:
        x, sums, total: as for ``draw_coordinates``.
    """
    heights = (coins.uniforms(1) + np.arange(count)) * (total / count)
    edges = np.cumsum(sums.bounds)
    blocks = np.searchsorted(edges, heights, side="right")
    return coordinates_at(x, sums, blocks, heights - np.append(0.0, edges)[blocks])


def coordinates_at(x: Array, sums: BlockSums, blocks: I64, heights: F64) -> Drawn:
    """The coordinates at given heights of blocks' running sums of magnitudes; beyond a block's own sum is the rest.

    Args:
        x: float array [dim], NumPy or torch; only the blocks named are read.
        sums: ``block_sums(x)``.
        blocks: int64 [count]; one past the last block is the rest.
        heights: float64 [count], from 0 to the block's bound.
    """
    coordinate = np.full(blocks.size, -1, np.int64)
    negative = np.zeros(blocks.size, bool)
    proposed = np.flatnonzero(blocks < sums.bounds.size)
    drawn, which = np.unique(blocks[proposed], return_inverse=True)
    order = np.argsort(which, kind="stable")
    ends = np.searchsorted(which, np.arange(0, drawn.size + SLAB, SLAB), sorter=order)
    fetch = drawn.size <= min(FEW, sums.bounds.size // FEW_SHARE)
    for start, first, last in zip(range(0, drawn.size, SLAB), ends[:-1], ends[1:], strict=False):
        here = order[first:last]
        target = proposed[here]
        row = which[here] - start
        values = _values(x, drawn[start : start + SLAB])
        column, sign = _inside(to_host(values) if fetch else values, row, heights[target])
        hit = column < ROWS
        coordinate[target[hit]] = first_of(drawn[start + row[hit]]) + LANES * column[hit]
        negative[target[hit]] = sign[hit]
    return Drawn(coordinate, negative)


def _inside(values: Array, row: I64, height: F64) -> tuple[I64, NDArray[np.bool_]]:
    """For each height: the first column of its block's running sum above it (ROWS: none), and the sign of x there.

    Done where the values [ROWS, blocks] are; two bytes per height are copied to the host.
    """
    xp = namespace(values)
    rows = like(row, values)
    column = _first_above(_running_sums(xp.abs(xp.astype(values, xp.float64))), rows, like(height, values))
    negative = values[xp.clip(column, 0, ROWS - 1), rows] < 0
    found = to_host(xp.astype(column, xp.int16) + 2 * ROWS * xp.astype(negative, xp.int16))
    return (found % (2 * ROWS)).astype(np.int64), found >= 2 * ROWS


def _values(x: Array, blocks: I64) -> Array:
    """The coordinates of blocks, in x's dtype and on its device: [ROWS, blocks], zero beyond its end."""
    xp = namespace(x)
    places = like(first_of(blocks), x)[None, :] + like(LANES * np.arange(ROWS), x)[:, None]
    inside = places < x.shape[0]
    values = x[xp.where(inside, places, 0)]
    values[~inside] = 0.0
    return values


def _running_sums(magnitudes: Array) -> Array:
    """Running sums down the columns, in place, row after row: a device's own scan may add in another order."""
    if not is_tensor(magnitudes):
        return np.cumsum(magnitudes, axis=0, out=magnitudes)
    for above, here in itertools.pairwise(magnitudes):
        here += above
    return magnitudes


def _first_above(cumulative: Array, row: Array, height: Array) -> Array:
    """The least column with ``cumulative[column, row] > height``, by bisection of all rows at once."""
    xp = namespace(cumulative)
    low = xp.zeros_like(row)
    step = ROWS
    while step > 1:
        step //= 2
        low += xp.where(cumulative[low + (step - 1), row] <= height, step, 0)
    low += cumulative[low, row] <= height
    return low


def draw_uniform(size: int, count: int, coins: Coins) -> I64:
    """Independent uniform integers in [0, size), exactly: int64 [count].

    The leading bits of a word, drawn again where they are too large: nothing is rounded, and a power of two takes one
    word per draw.

    Args:
        size: 1 to 2**62.
    """
    drawn = np.empty(count, np.int64)
    shift = np.uint64(64 - max(1, (size - 1).bit_length()))
    missing = np.arange(count)
    while missing.size:
        drawn[missing] = coins.words(missing.size) >> shift
        missing = missing[drawn[missing] >= size]
    return drawn
