"""The coding ``l1_ball``: the shortest there is for SimQ's draws."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64
from gradwire.common.lossless.codings.base import SignedAxes, register_coding
from gradwire.common.lossless.l1_ball_code import decode_point, encode_point, l1_ball_bits


@register_coding
@dataclass(frozen=True)
class L1BallCoding(SignedAxes):
    """The sum of k draws as an integer point of the l1 ball of radius k: ceil(log2 D(d, k)) bits, D Delannoy's numbers.

    Sums of draws are exactly those points, so no code that reads all of them is shorter: 2.54 bits per coordinate for
    k = d, where [S] section 4.2 has 3 (``type_signs``; its C(d + k, k) 2^k counts points many times), and within a
    percent of ``multiset`` for k <= d / 8 (theory 2.1 and theory 3). Decoded draws are in increasing order of their
    axis, zeros last.

    >>> L1BallCoding(vertices=2 * 65_536 + 1, draws=65_536).nbits
    166657
    """

    name = "l1_ball"

    @cached_property
    def nbits(self) -> int:
        return l1_ball_bits(self.axes, self.draws)

    def write(self, drawn: I64, out: BitWriter) -> None:
        moved = drawn[drawn < 2 * self.axes]
        vertices, counts = np.unique(moved, return_counts=True)
        negative = vertices >= self.axes
        axes = vertices - self.axes * negative
        order = np.argsort(axes, kind="stable")
        if (np.diff(axes[order]) == 0).any():
            raise AssertionError("an axis was drawn with both signs, which l1_ball cannot represent")
        values = np.where(negative, -counts, counts)
        out.write_int(encode_point(axes[order], values[order], self.axes, self.draws), self.nbits)

    def read(self, bits: BitReader) -> I64:
        axes, values = decode_point(bits.read_int(self.nbits), self.axes, self.draws)
        drawn = np.full(self.draws, 2 * self.axes)
        moved = np.repeat(axes + self.axes * (values < 0), np.abs(values))
        drawn[: moved.size] = moved
        return drawn
