"""Huffman codes of levels whose counts both ends know, written bit plane by bit plane.

The k-th bits of all codewords stand together, as in ``elias``: neither end loops over the levels, and the
length is that of the codewords one after the other.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64, Array, like, namespace
from gradwire.common.errors import PayloadError


@dataclass(frozen=True)
class HuffmanCode:
    """A canonical Huffman code for symbols that occur ``counts`` times; those that do not occur have no codeword.

    Codewords of one length are consecutive numbers in the order of their symbols, so the code follows from the lengths,
    and the lengths from the counts: equal weights are joined in the order of their least symbols.

    >>> code = HuffmanCode.of(np.array([1, 5, 0, 2]))
    >>> code.lengths.tolist(), code.nbits
    ([2, 1, 0, 2], 11)
    """

    counts: I64
    lengths: I64

    @classmethod
    def of(cls, counts: I64) -> HuffmanCode:
        """The code for these counts [symbols]."""
        return cls(counts, _lengths(counts))

    @property
    def nbits(self) -> int:
        """Bits of all symbols together; no prefix code with whole bits takes fewer."""
        return int(self.counts @ self.lengths)

    def write(self, symbols: Array, out: BitWriter) -> None:
        """Append symbols [n] whose histogram is ``counts`` (NumPy or torch, packed on its device)."""
        xp = namespace(symbols)
        narrow = np.int32 if self.lengths.max() < 32 else np.int64
        at = xp.astype(symbols, xp.int64, copy=False)
        words, lengths = (
            like(table.astype(narrow), symbols)[at] for table in (self._codewords(), self.lengths)
        )
        for plane in range(int(self.lengths.max())):
            going = lengths > plane
            words, lengths = words[going], lengths[going]
            out.write((words >> (lengths - 1 - plane)) & 1, 1)

    def read(self, bits: BitReader) -> I64:
        """The symbols again: int64 [counts.sum()].

        Raises:
            PayloadError: the stream ends early, or the histogram of the symbols is not ``counts``.
        """
        total = int(self.counts.sum())
        order, first, starts = self._tables()
        symbols = np.full(total, order[0] if order.size else 0, np.int64)
        going, prefix = np.arange(total if self.lengths.any() else 0), np.zeros(total, np.int64)
        for length in range(1, int(self.lengths.max()) + 1):
            plane = np.unpackbits(bits.read_packed(going.size), count=going.size, bitorder="little")
            prefix = 2 * prefix + plane
            rank = prefix - first[length]
            ends = rank < starts[length + 1] - starts[length]
            symbols[going[ends]] = order[starts[length] + rank[ends]]
            going, prefix = going[~ends], prefix[~ends]
        if not np.array_equal(np.bincount(symbols, minlength=self.counts.size), self.counts):
            raise PayloadError("the histogram of the levels is not the one sent: the payload is corrupt")
        return symbols

    def _tables(self) -> tuple[I64, I64, I64]:
        """Symbols in the order of their codewords; by length: the first codeword, and where its symbols start."""
        longest = int(self.lengths.max())
        order = np.lexsort((np.arange(self.lengths.size), self.lengths))
        order = order[self.lengths[order] > 0] if longest else np.flatnonzero(self.counts)
        of_length = np.bincount(self.lengths[self.lengths > 0], minlength=longest + 1)
        starts = np.concatenate([[0], np.cumsum(of_length)])
        first = np.zeros(longest + 1, np.int64)
        for length in range(1, longest + 1):
            first[length] = 2 * (first[length - 1] + of_length[length - 1])
        return order, first, starts

    def _codewords(self) -> I64:
        order, first, starts = self._tables()
        words = np.zeros(self.lengths.size, np.int64)
        length = self.lengths[order]
        words[order] = first[length] + np.arange(order.size) - starts[length]
        return words


def _lengths(counts: I64) -> I64:
    """Codeword lengths [symbols] by Huffman's algorithm; one symbol alone needs no bit."""
    # (weight, least symbol, node): leaves are nodes by their symbol, joined ones are numbered on.
    heap = [(count, symbol, symbol) for symbol, count in enumerate(counts.tolist()) if count]
    heapq.heapify(heap)
    parents: dict[int, int] = {}
    node = counts.size
    while len(heap) > 1:
        weight, least, one = heapq.heappop(heap)
        other = heap[0]
        parents[one] = parents[other[2]] = node
        heapq.heapreplace(heap, (weight + other[0], min(least, other[1]), node))
        node += 1
    depth = np.zeros(node, np.int64)
    for child in sorted(parents, reverse=True):  # a parent's number is above its children's
        depth[child] = depth[parents[child]] + 1
    return depth[: counts.size]
