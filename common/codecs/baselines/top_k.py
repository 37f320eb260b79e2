"""top-k: the largest coordinates as float32, and their indices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.deterministic import DeterministicCodec
from gradwire.common.codecs.forms.selected import (
    SelectedCoordinates,
    largest_coordinates,
    read_values,
    select,
)
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import PayloadError, SpecError
from gradwire.common.lossless.subset_code import decode_subset, encode_subset, subset_bits
from gradwire.common.spec import did_you_mean

CODINGS = ("tuple", "set")


@register
@dataclass(frozen=True, kw_only=True)
class TopK(DeterministicCodec[SelectedCoordinates]):
    """The k coordinates of largest magnitude, the lower index first among equals; the others decode to 0.

    [TopK]; [Memory] Definition 2.1: a k-contraction, to be used with error feedback (``worker/feedback.py``);
    theory 11.

    Payload: the k values as float32 in the order of their coordinates, then the coordinates.
    Biased, without randomness: the squared error is the energy of the coordinates left out (and of rounding float64
    input to float32), at most |x|^2 (1 - k / d), at flat vectors.

    Args:
        k: coordinates that are sent, 1 to d.
        coding: of the coordinates: ``tuple``, ceil(log2 d) bits each, increasing, or ``set``, the code of subsets of
            size k, ceil(log2 C(d, k)) bits (``lossless/subset_code.py``).

    Raises:
        SpecError: k outside these bounds, or an unknown coding.

    >>> from gradwire.common.codecs import parse
    >>> top = parse("top_k(2)", dim=4)
    >>> top.decode(top.encode(np.array([1.0, -3.0, 0.5, 1.0]), np.random.default_rng(0)))
    array([ 1., -3.,  0.,  0.])
    """

    k: int
    coding: str = "tuple"

    name = "top_k"
    source = "[TopK]; [Memory] Def 2.1"
    unbiased = False
    index_domain = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("k", 1, self.dim, "coordinates")
        if self.coding not in CODINGS:
            raise SpecError(f"top_k: unknown coding {self.coding!r}{did_you_mean(self.coding, CODINGS)}")

    @property
    def width(self) -> int:
        """Bits of the index of one coordinate: ceil(log2 d)."""
        return (self.dim - 1).bit_length()

    @cached_property
    def nbits(self) -> int:
        indices = self.k * self.width if self.coding == "tuple" else subset_bits(self.dim, self.k)
        return 32 * self.k + indices

    def variance(self, norm: float = 1.0) -> float:
        return norm**2 * (1 - self.k / self.dim)

    def _round(self, vector: GradientVector, shared: int) -> SelectedCoordinates:
        return select(vector.values, largest_coordinates(vector.values, self.k))

    def _pack(self, symbols: SelectedCoordinates, out: BitWriter) -> None:
        out.write_floats32(symbols.values)
        if self.coding == "tuple":
            out.write(symbols.indices, self.width)
        else:
            out.write_int(encode_subset(symbols.indices, self.dim), subset_bits(self.dim, self.k))

    def _unpack(self, bits: BitReader) -> SelectedCoordinates:
        values = read_values(bits, self.k)
        if self.coding == "set":
            code = bits.read_int(subset_bits(self.dim, self.k))
            return SelectedCoordinates(decode_subset(code, self.dim, self.k), values)
        indices = bits.read(self.k, self.width)
        if int(indices[-1]) >= self.dim or (indices[1:] <= indices[:-1]).any():
            raise PayloadError(f"the coordinates are not increasing below {self.dim}: the payload is corrupt")
        return SelectedCoordinates(indices, values)

    def _reconstruct(self, symbols: SelectedCoordinates, shared: int) -> Terms:
        return Terms(self.dim, symbols.indices, symbols.values.astype(np.float64))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("top_k(1)", 3, enumerable=True),
            Example("top_k(2, coding=set)", 4, enumerable=True),
            Example("top_k(1)", 1, enumerable=True),
            Example("top_k(700)", 70_001),
            Example("top_k(700, coding=set)", 70_001),
        )
