"""Codings that forget the order of the draws: ``multiset``, and ``type_signs`` as the SimQ paper has it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwire.common.codecs.coding import Coding, SignedAxes, register_coding
from gradwire.common.errors import PayloadError
from gradwire.common.kernels.arrays import I64
from gradwire.common.kernels.bits import BitReader, BitWriter
from gradwire.common.kernels.subset_code import decode_subset, encode_subset, subset_bits


def multiset_bits(symbols: int, draws: int) -> int:
    """Bits of a multiset of ``draws`` out of ``symbols``: ceil(log2 C(symbols + draws - 1, draws)).

    >>> multiset_bits(2 * 795_010, 100)
    1536
    """
    return subset_bits(symbols + draws - 1, draws)


def write_multiset(drawn: I64, symbols: int, out: BitWriter) -> None:
    """Append draws [n], below ``symbols``, in any order.

    In increasing order v_0 <= v_1 <= …, the numbers v_j + j are distinct: a subset of n out of symbols + n - 1.
    """
    cells = symbols + drawn.size - 1
    positions = np.sort(drawn) + np.arange(drawn.size)
    out.write_int(encode_subset(positions, cells), subset_bits(cells, drawn.size))


def read_multiset(bits: BitReader, symbols: int, draws: int) -> I64:
    """The draws int64 [draws] in increasing order.

    Raises:
        PayloadError: bits that no multiset has.
    """
    cells = symbols + draws - 1
    return decode_subset(bits.read_int(subset_bits(cells, draws)), cells, draws) - np.arange(draws)


@register_coding
@dataclass(frozen=True)
class MultisetCoding(Coding):
    """How often each vertex was drawn: ceil(log2 C(|C| + s - 1, s)) bits for s draws (theory, section 3).

    The mean of the draws needs no more. Every multiset has the same length, however unlikely, since the code is
    that of equally likely ones. Decoded draws are in increasing order.

    >>> MultisetCoding(vertices=2 * 795_010, draws=100).nbits, MultisetCoding(vertices=3, draws=2).nbits
    (1536, 3)
    """

    name = "multiset"

    @property
    def nbits(self) -> int:
        return multiset_bits(self.vertices, self.draws)

    def write(self, drawn: I64, out: BitWriter) -> None:
        write_multiset(drawn, self.vertices, out)

    def read(self, bits: BitReader) -> I64:
        return read_multiset(bits, self.vertices, self.draws)


@register_coding
@dataclass(frozen=True)
class TypeSignsCoding(SignedAxes):
    """The type of the draws' magnitudes, then signs: ceil(log2 C(d + k, k)) + k bits for k draws ([S] section 4.2).

    The type counts d + 1 symbols, the axes and 0; the signs of the axes drawn follow in increasing order, padded to k
    bits. ``multiset`` has no separate signs and is shorter where k is below d (theory, section 3). Decoded draws
    are in increasing order of their axis.

    >>> TypeSignsCoding(vertices=2 * 65_536 + 1, draws=65_536).nbits
    196600
    """

    name = "type_signs"

    @property
    def nbits(self) -> int:
        return multiset_bits(self.axes + 1, self.draws) + self.draws

    def write(self, drawn: I64, out: BitWriter) -> None:
        negative = (drawn >= self.axes) & (drawn < 2 * self.axes)
        magnitudes = drawn - self.axes * (negative.astype(np.int64) + (drawn == 2 * self.axes))
        axes, first, which = np.unique(magnitudes, return_index=True, return_inverse=True)
        if (negative != negative[first][which]).any():
            raise AssertionError("an axis was drawn with both signs, which type_signs cannot say")
        signs = np.zeros(self.draws, np.int64)
        signs[: axes.size] = negative[first]  # the zero vertex, if drawn, comes last and counts as positive
        write_multiset(magnitudes, self.axes + 1, out)
        out.write(signs, 1)

    def read(self, bits: BitReader) -> I64:
        magnitudes = read_multiset(bits, self.axes + 1, self.draws)
        signs = bits.read(self.draws, 1)
        axes, which = np.unique(magnitudes, return_inverse=True)
        moved = int((axes < self.axes).sum())
        if signs[moved:].any():
            raise PayloadError("sign bits are set that belong to no axis: the payload is corrupt")
        drawn: I64 = magnitudes + self.axes * np.where(magnitudes < self.axes, signs[which], 1)
        return drawn
