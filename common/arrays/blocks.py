"""One pass over a vector: block sums of magnitudes, and its norm.

Sampling a coordinate with probability ``|x_i| / total`` needs a cumulative sum, but only of the blocks that
are drawn from. So the encoder reads the vector once, keeps one number for every 128 coordinates, and returns
to the few drawn blocks later.

float32 sums are fast, float64 sums exact; float32 sums that are *proposals* give both. Each is rounded up by its
worst-case error, so it bounds the true block sum from above; ``sampling`` then accepts a proposal with probability
(true sum / bound). The law is exact although the sums are not.

The order of additions is fixed (element-wise, row after row), so every backend and processor gets the same
bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradwire.common.arrays.compat import F64, I64, Array, is_tensor, to_host

ROWS = 128  # coordinates in a block: LANES apart, so that summing a chunk adds whole contiguous rows
LANES = 1024
CHUNK = ROWS * LANES  # 131,072 coordinates: 512 KiB of float32, which stays in a second-level cache


@dataclass(frozen=True)
class BlockSums:
    """What one pass keeps of a vector x of float32 or float64 [dim].

    Attributes:
        bounds: float64 [blocks]; ``bounds[b]`` is at least the sum of ``|x_i|`` over block b, by at most a
            factor ``slack``.
        total: the sum of ``bounds``: an upper bound on the l1 norm.
        norm: the l2 norm, relative error at most ``slack - 1`` either way.
        slack: 1 + worst-case relative rounding error of the sums.
    """

    bounds: F64
    total: float
    norm: float
    slack: float

    @property
    def norm_bound(self) -> float:
        """An upper bound on the l2 norm."""
        return self.norm * self.slack


def first_of(blocks: I64) -> I64:
    """The first coordinate of each block, int64 [len(blocks)]; the others follow LANES apart."""
    chunk, lane = np.divmod(blocks, LANES)
    first: I64 = chunk * CHUNK + lane
    return first


def block_sums(x: Array, *, exact: bool = False) -> BlockSums:
    """Sum magnitudes and squares of a vector [dim] by blocks, reading it once.

    Whole chunks are summed in the vector's own dtype and the rest in float64; ``exact=True`` sums all in
    float64 (slower). A total that over- or underflows float32 is summed again in float64, so any finite
    vector is handled.
    """
    whole = 0 if exact else x.shape[0] // CHUNK * CHUNK
    tail = _padded_float64(x[whole:])
    # Of small vectors, an empty head would be most of the work.
    sums = [_sums(x[:whole], ROWS)] if whole else []
    sums.append(_sums(tail, min(ROWS, max(1, tail.shape[0] // LANES))))
    l1, l2 = (np.concatenate(parts) for parts in zip(*sums, strict=True))
    eps = float(np.finfo(sums[0][0].dtype).eps)  # the tail's is float64
    slack = 1.0 + 2 * (ROWS + 2) * eps
    with np.errstate(over="ignore"):
        bounds = l1.astype(np.float64) * slack
        squares = float(l2.sum(dtype=np.float64))
        total = float(bounds.sum())
    # Below this, squares lost to float32 underflow could matter; above float32's range they are infinite.
    if whole and sums[0][0].dtype == np.float32 and not (x.shape[0] * 2.0**-120 < squares < math.inf):
        return block_sums(x, exact=True)
    return BlockSums(bounds, total * (1 + 1e-12), math.sqrt(squares), slack)


def _sums(x: Array, rows: int) -> tuple[Array, Array]:
    """Sums of |x_i| and of x_i^2 by block, in x's dtype, on the host: [blocks] each; chunks have ``rows`` rows."""
    chunks = x.reshape(-1, rows, LANES)
    l1, l2 = _sums_torch(chunks) if is_tensor(x) else _sums_numpy(chunks)
    return l1.reshape(-1), l2.reshape(-1)


def _sums_numpy(chunks: Array) -> tuple[Array, Array]:
    l1 = np.empty((chunks.shape[0], LANES), chunks.dtype)
    l2 = np.empty_like(l1)
    scratch = np.empty(chunks.shape[1:], chunks.dtype)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for c, chunk in enumerate(chunks):
            np.abs(chunk, out=scratch)
            # Row after row: the order that the torch path spells out
            np.add.reduce(scratch, axis=0, out=l1[c])
            np.multiply(scratch, scratch, out=scratch)
            np.add.reduce(scratch, axis=0, out=l2[c])
    return l1, l2


def _sums_torch(chunks: Array) -> tuple[Array, Array]:
    l1 = chunks[:, 0].abs()
    l2 = l1 * l1
    for row in range(1, chunks.shape[1]):
        magnitude = chunks[:, row].abs()
        l1 += magnitude
        # Two roundings, as in NumPy: a fused multiply-add would differ in the last bit
        l2 += magnitude * magnitude
    return to_host(l1), to_host(l2)


def _padded_float64(x: Array) -> Array:
    """The tail (or all) of a vector in float64, padded with zeros to whole rows, or chunks when it is longer."""
    unit = LANES if x.shape[0] <= CHUNK else CHUNK
    size = -(-x.shape[0] // unit) * unit
    padded = x.new_zeros(size).double() if is_tensor(x) else np.zeros(size)
    with np.errstate(invalid="ignore"):  # a signalling NaN; the sums show it
        padded[: x.shape[0]] = x
    return padded
