"""The coding ``multiset``: how often each vertex was drawn, without the order of the draws."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64
from gradwire.common.lossless.codings.base import Coding, register_coding
from gradwire.common.lossless.subset_code import decode_subset, encode_subset, subset_bits


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
    """How often each vertex was drawn: ceil(log2 C(|C| + s - 1, s)) bits for s draws (theory 3).

    The mean of the draws needs no more. Every multiset has the same length, however unlikely, since the code is
    that of equally likely ones. Decoded draws are in increasing order.

    >>> MultisetCoding(vertices=2 * 795_010, draws=100).nbits, MultisetCoding(vertices=3, draws=2).nbits
    (1536, 3)
    """

    name = "multiset"

    @cached_property
    def nbits(self) -> int:
        return multiset_bits(self.vertices, self.draws)

    def write(self, drawn: I64, out: BitWriter) -> None:
        write_multiset(drawn, self.vertices, out)

    def read(self, bits: BitReader) -> I64:
        return read_multiset(bits, self.vertices, self.draws)
