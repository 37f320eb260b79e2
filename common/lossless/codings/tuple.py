"""The coding ``tuple``: each vertex by itself, in order."""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64
from gradwire.common.errors import PayloadError
from gradwire.common.lossless.codings.base import Coding, register_coding


@register_coding
@dataclass(frozen=True)
class TupleCoding(Coding):
    """Each vertex by itself, in order: ceil(log2 |C|) bits per draw."""

    name = "tuple"
    batches = True

    @property
    def width(self) -> int:
        """Bits of one vertex."""
        return (self.vertices - 1).bit_length()

    @property
    def nbits(self) -> int:
        return self.draws * self.width

    def write(self, drawn: I64, out: BitWriter) -> None:
        out.write(drawn, self.width)

    def read(self, bits: BitReader) -> I64:
        drawn = bits.read(self.draws, self.width)
        highest = int(drawn.max(initial=0))
        if highest >= self.vertices:
            raise PayloadError(f"a vertex index is {highest}, expected below {self.vertices}: it is corrupt")
        return drawn
