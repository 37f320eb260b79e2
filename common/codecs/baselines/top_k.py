"""top-k: the largest coordinates as they are, and which they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64, Array, is_tensor, namespace, to_host
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.deterministic import DeterministicCodec
from gradwire.common.codecs.forms.kept import Kept, check_kept, keep, read_values
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import PayloadError, SpecError
from gradwire.common.lossless.subset_code import decode_subset, encode_subset, subset_bits
from gradwire.common.spec import did_you_mean

CODINGS = ("tuple", "set")


@register
@dataclass(frozen=True, kw_only=True)
class TopK(DeterministicCodec[Kept]):
    """The k coordinates of largest magnitude, the lower index first among equals; the others decode to 0.

    Aji and Heafield, EMNLP 2017; Stich, Cordonnier, Jaggi, NeurIPS 2018, definition 2.1: a k-contraction, to be
    used with error feedback (see ``worker.feedback``). Payload: the k values as float32 in the order of their
    coordinates, then the coordinates: ``coding=tuple`` in ceil(log2 d) bits each, increasing, or ``coding=set``
    in the code of subsets of size k, ceil(log2 C(d, k)) bits (see ``kernels.subset_code``).

    Biased, without randomness: the squared error is that of the coordinates left out (and of rounding float64 input to
    float32), at most |x|^2 (1 - k / d), at flat vectors.

    >>> from gradwire.common.codecs import parse
    >>> top = parse("top_k(2)", dim=4)
    >>> top.decode(top.encode(np.array([1.0, -3.0, 0.5, 1.0]), np.random.default_rng(0)))
    array([ 1., -3.,  0.,  0.])
    """

    k: int
    coding: str = "tuple"

    name = "top_k"
    source = "Stich, Cordonnier, Jaggi 2018, Def. 2.1"
    unbiased = False
    index_domain = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kept("top_k", self.k, self.dim)
        if self.coding not in CODINGS:
            raise SpecError(f"top_k: unknown coding {self.coding!r}{did_you_mean(self.coding, CODINGS)}")

    @property
    def width(self) -> int:
        """Bits of one coordinate by itself: ceil(log2 d)."""
        return (self.dim - 1).bit_length()

    @cached_property
    def nbits(self) -> int:
        return 32 * self.k + (
            self.k * self.width if self.coding == "tuple" else subset_bits(self.dim, self.k)
        )

    def variance(self, norm: float = 1.0) -> float:
        return norm**2 * (1 - self.k / self.dim)

    def _choose(self, vector: GradientVector, shared: int) -> Kept:
        return keep(vector.values, largest(vector.values, self.k))

    def _pack(self, symbols: Kept, out: BitWriter) -> None:
        out.write_floats32(symbols.values)
        if self.coding == "tuple":
            out.write(symbols.indices, self.width)
        else:
            out.write_int(encode_subset(symbols.indices, self.dim), subset_bits(self.dim, self.k))

    def _unpack(self, bits: BitReader) -> Kept:
        values = read_values(bits, self.k)
        if self.coding == "set":
            return Kept(decode_subset(bits.read_int(subset_bits(self.dim, self.k)), self.dim, self.k), values)
        indices = bits.read(self.k, self.width)
        if int(indices[-1]) >= self.dim or (indices[1:] <= indices[:-1]).any():
            raise PayloadError(f"the coordinates are not increasing below {self.dim}: the payload is corrupt")
        return Kept(indices, values)

    def _reconstruct(self, symbols: Kept, shared: int) -> Terms:
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


def largest(values: Array, k: int) -> I64:
    """The k coordinates of largest magnitude in increasing order, int64 [k] on the host; the lower index among equals.

    The k-th magnitude is a number, whatever the algorithm that finds it, so every backend selects the same.
    """
    xp = namespace(values)
    magnitudes = xp.abs(values)
    threshold = _kth(magnitudes, k)
    (candidates,) = xp.nonzero(magnitudes >= threshold)
    above = magnitudes[candidates] > threshold
    equals = xp.cumulative_sum(xp.astype(~above, xp.int64))
    chosen = above | (equals <= k - (candidates.shape[0] - equals[-1]))
    indices: I64 = to_host(candidates[chosen])
    return indices


def _kth(magnitudes: Array, k: int) -> Array:
    """The k-th largest magnitude."""
    place = magnitudes.shape[0] - k
    if is_tensor(magnitudes):
        return magnitudes.kthvalue(place + 1).values
    return np.partition(magnitudes, place)[place]
