"""The coding ``type_signs``: the multiset of axes, then their signs, as [S] section 4.2 defines it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64
from gradwire.common.errors import PayloadError
from gradwire.common.lossless.codings.base import SignedAxes, register_coding
from gradwire.common.lossless.codings.multiset import multiset_bits, read_multiset, write_multiset


@register_coding
@dataclass(frozen=True)
class TypeSignsCoding(SignedAxes):
    """The type of the draws' magnitudes, then signs: ceil(log2 C(d + k, k)) + k bits for k draws ([S] section 4.2).

    The type counts d + 1 symbols, the axes and 0; the signs of the axes drawn follow in increasing order, padded to k
    bits. ``multiset`` has no separate signs and is shorter where k is below d (theory 3). Decoded draws
    are in increasing order of their axis.

    >>> TypeSignsCoding(vertices=2 * 65_536 + 1, draws=65_536).nbits
    196600
    """

    name = "type_signs"

    @cached_property
    def nbits(self) -> int:
        return multiset_bits(self.axes + 1, self.draws) + self.draws

    def write(self, drawn: I64, out: BitWriter) -> None:
        negative = (drawn >= self.axes) & (drawn < 2 * self.axes)
        magnitudes = drawn - self.axes * (negative.astype(np.int64) + (drawn == 2 * self.axes))
        axes, first, which = np.unique(magnitudes, return_index=True, return_inverse=True)
        if (negative != negative[first][which]).any():
            raise AssertionError("an axis was drawn with both signs, which type_signs cannot represent")
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
