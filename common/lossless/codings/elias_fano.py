"""The coding ``elias_fano``: sorted draws in O(draws) array operations, a little longer than ``multiset``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64
from gradwire.common.errors import PayloadError
from gradwire.common.lossless.codings.base import Coding, register_coding


@register_coding
@dataclass(frozen=True)
class EliasFanoCoding(Coding):
    """The draws in increasing order, in min over l of s l + s + ((|C| - 1) >> l) bits.

    The low l bits of each of the s draws come first, then a bit map whose j-th one (from 0) stands at (v_j >> l) +
    j ([Elias74], [Fano]; theory 3). At most half a bit per draw above ``multiset``, and many payloads
    are read at once. Decoded draws are in increasing order.

    >>> EliasFanoCoding(vertices=2 * 795_010, draws=100).nbits
    1594
    """

    name = "elias_fano"
    batches = True

    @cached_property
    def low(self) -> int:
        """l: bits of a draw that are written as they are; of equally good numbers the least."""
        return min(range((self.vertices - 1).bit_length() + 1), key=self._bits_with)

    def _bits_with(self, low: int) -> int:
        return self.draws * low + self.draws + ((self.vertices - 1) >> low)

    @cached_property
    def nbits(self) -> int:
        return self._bits_with(self.low)

    def write(self, drawn: I64, out: BitWriter) -> None:
        drawn = np.sort(drawn)
        ones = np.zeros(self.nbits - self.draws * self.low, np.int64)
        ones[(drawn >> self.low) + np.arange(self.draws)] = 1
        out.write(drawn & ((1 << self.low) - 1), self.low)
        out.write(ones, 1)

    def read(self, bits: BitReader) -> I64:
        low = bits.read(self.draws, self.low)
        ones = bits.read(self.nbits - self.draws * self.low, 1)
        if (ones.sum(axis=-1) != self.draws).any():
            raise PayloadError(f"the bit map of the high bits does not hold {self.draws} ones: it is corrupt")
        high = np.nonzero(ones)[-1].reshape(low.shape) - np.arange(self.draws)
        drawn = (high << self.low) | low
        if (drawn[..., 1:] < drawn[..., :-1]).any():
            raise PayloadError("the draws do not increase, expected them in order: the payload is corrupt")
        if drawn[..., -1].max(initial=0) >= self.vertices:
            raise PayloadError(
                f"a vertex index is {drawn.max()}, expected below {self.vertices}: it is corrupt"
            )
        return drawn
