"""The coding ``joint``: all drawn vertices as one integer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64
from gradwire.common.lossless.codings.base import Coding, register_coding
from gradwire.common.lossless.radix_code import decode_digits, encode_digits, radix_bits


@register_coding
@dataclass(frozen=True)
class JointCoding(Coding):
    """The drawn vertices in order, as one number: ceil(draws log2 |C|) bits in all.

    What [V] section 7 reports as s log2(2d) bits: 2,061 for s = 100 and d = 795,010, not 2,060 (erratum V12);
    apart, in whole bits each, the indices take 2,100.

    >>> JointCoding(vertices=2 * 795_010, draws=100).nbits
    2061
    """

    name = "joint"

    @cached_property
    def nbits(self) -> int:
        return radix_bits(self._radices)

    @cached_property
    def _radices(self) -> tuple[tuple[int, int], ...]:
        return ((self.draws, self.vertices),)

    def write(self, drawn: I64, out: BitWriter) -> None:
        out.write_int(encode_digits([drawn], self._radices), self.nbits)

    def read(self, bits: BitReader) -> I64:
        (drawn,) = decode_digits(bits.read_int(self.nbits), self._radices)
        return drawn
