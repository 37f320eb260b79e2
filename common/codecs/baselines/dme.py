"""Distributed mean estimation: levels between the least and the largest coordinate, rotated or entropy-coded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, I64, Array, is_tensor, namespace, to_host
from gradwire.common.arrays.hadamard import next_power_of_two
from gradwire.common.arrays.rotation import Rotation
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.scales import round_up_float32, within_float32
from gradwire.common.codecs.forms.stochastic_rounding import (
    GridLevels,
    StochasticRoundingCodec,
    check_zero_grid,
    from_steps,
    steps_per_unit,
    to_float64,
)
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import PayloadError, SpecError
from gradwire.common.lossless.fixed_width import read_levels
from gradwire.common.lossless.huffman import HuffmanCode

MAX_LEVELS = 1 << 16
SPANS = ("range", "norm")


class Interval(NamedTuple):
    """The lowest and the highest level, two float32 values."""

    low: float
    high: float

    @property
    def span(self) -> float:
        """The distance of the two."""
        return self.high - self.low


@register
@dataclass(frozen=True, kw_only=True)
class DME(StochasticRoundingCodec[Interval]):
    """Coordinates rounded without bias to k = ``levels`` levels from the least to the largest of them.

    [DME]: stochastic binary (k = 2, section 2.1) and k-level quantization (2.2); after one public random rotation
    H D / sqrt(n), n the next power of two (section 3); in a Huffman code whose histogram is sent (section 4). Here the
    histogram is k - 1 counts of ceil(log2(n + 1)) bits, and the code's bits are ordered by plane, see
    ``lossless/huffman.py``.

    Payload: both ends as float32, rounded outwards; then n ceil(log2 k) bits, or the histogram and codewords of at most
    as many bits, since no prefix code is shorter than Huffman's.
    Unbiased for every rotation. Variance step^2 sum f_i (1 - f_i), f_i the fraction of (x_i - low) / step; for a fixed
    rotation that of the rotated coordinates times d / n, because all entries of the rotation are ±1 / sqrt(n). At most
    |x|^2 (d - 2) / 2 (k - 1)^2 (``span=norm``: d in place of d - 2, Lemma 3); on average over the rotation also at most
    |x|^2 (2 ln 2n + 2) / (k - 1)^2 (Theorem 3 prints 2 ln n + 2; theory 11).

    Args:
        levels: k, 2 to 2**16.
        rotate: rotate first; then ``encode`` and ``decode`` need the public seed.
        entropy_coded: use the Huffman code; then the length depends on the gradient.
        span: ``range``, or ``norm``: levels from the least coordinate up by sqrt(2) |x|, for which Theorem 4 bounds the
            entropy.

    Raises:
        SpecError: levels outside these bounds, or another span.

    >>> from gradwire.common.codecs import parse
    >>> parse("dme(levels=16, rotate=true)", dim=1000).nbits
    4160
    """

    levels: int = 2
    rotate: bool = False
    entropy_coded: bool = False
    span: str = "range"

    name = "dme"
    source = "[DME] Lemmas 2 and 3, Theorems 3 and 4"
    variance_is_bound = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("levels", 2, MAX_LEVELS)
        if self.span not in SPANS:
            raise SpecError(f"dme: span is {self.span!r}, expected range or norm")
        self._settle(
            fixed_length=not self.entropy_coded,
            shared_randomness=self.rotate,
            variance_given_shared=self._worst <= self._worst_on_average,
        )

    @property
    def size(self) -> int:
        """The number n of coordinates that are rounded: d, or the power of two to which a rotation pads it."""
        return next_power_of_two(self.dim) if self.rotate else self.dim

    @property
    def width(self) -> int:
        """Bits per level in the code of fixed length: ceil(log2 k)."""
        return (self.levels - 1).bit_length()

    @property
    def nbits(self) -> int:
        histogram = (self.levels - 1) * self.size.bit_length() if self.entropy_coded else 0
        return 64 + histogram + self.size * self.width

    def variance(self, norm: float = 1.0) -> float:
        worst = min(self._worst, self._worst_on_average)
        return norm**2 * worst / (self.levels - 1) ** 2 * self.dim / self.size

    @property
    def _worst(self) -> float:
        """(k - 1)^2 times the largest variance over all rotations; a single coordinate is a level itself."""
        inner = self.size - 2 if self.span == "range" else self.size
        return 0.0 if self.size == 1 else inner / 2

    @property
    def _worst_on_average(self) -> float:
        """The same on average over the rotation, which makes a wide range of coordinates unlikely."""
        return 2 * math.log(2 * self.size) + 2 if self.rotate and self.span == "range" else math.inf

    def variance_at(self, x: NDArray[np.floating]) -> float:
        if self.rotate:
            raise NotImplementedError(
                "dme: with a rotation the variance of one vector depends on the public seed"
            )
        return super().variance_at(x)

    # ---- levels --------------------------------------------------------------------------------------------

    def _coordinates(self, vector: GradientVector, shared: int) -> Array:
        if not self.rotate:
            return vector.values
        # In float64, so that float32 and float64 input give the same bits, and the mean is x to 1e-15.
        return Rotation(self.dim, 1, shared).apply(to_float64(vector.values))

    def _grid(self, vector: GradientVector, values: Array) -> Interval:
        xp = namespace(values)
        low, high = (within_float32(float(end)) for end in (xp.min(values), xp.max(values)))
        # No -0.0: which of two zeros is the smaller one depends on the backend.
        low = -round_up_float32(-low) + 0.0
        if self.span == "norm":
            high = max(high, within_float32(low + math.sqrt(2) * vector.norm))
        return Interval(low, round_up_float32(high) + 0.0)

    def _to_steps(self, values: Array, grid: Interval) -> Array:
        return (values - grid.low) * steps_per_unit(grid.span, self.levels - 1)

    def _step(self, grid: Interval) -> float:
        return grid.span / (self.levels - 1)

    # ---- bits ----------------------------------------------------------------------------------------------

    def _pack(self, symbols: GridLevels, out: BitWriter) -> None:
        for end in symbols.grid:
            out.write_float32(end)
        if not self.entropy_coded:
            out.write(symbols.levels, self.width)
            return
        counts = _histogram(symbols.levels, self.levels)
        out.write(counts[:-1], self.size.bit_length())
        HuffmanCode.of(counts).write(symbols.levels, out)

    def _unpack(self, bits: BitReader) -> GridLevels:
        grid = Interval(float(bits.read_float32()), float(bits.read_float32()))
        if grid.low > grid.high or any(end == 0 and np.signbit(end) for end in grid):
            raise PayloadError(f"the levels are from {grid.low} to {grid.high}: the payload is corrupt")
        levels = self._read_coded(bits) if self.entropy_coded else read_levels(bits, self.size, self.levels)
        check_zero_grid(grid.span, levels, "the distance of the levels")
        return GridLevels(grid, levels)

    def _read_coded(self, bits: BitReader) -> I64:
        counts = bits.read(self.levels - 1, self.size.bit_length())
        last = self.size - int(counts.sum())
        if last < 0:
            raise PayloadError(
                f"a histogram of {self.size} levels counts {self.size - last}: the payload is corrupt"
            )
        return HuffmanCode.of(np.append(counts, last)).read(bits)

    def _reconstruct(self, symbols: GridLevels, shared: int) -> F64:
        values = from_steps(symbols.levels, self._step(symbols.grid), symbols.grid.low)
        if not self.rotate:
            return values
        original: F64 = Rotation(self.dim, 1, shared).invert(values)
        return original

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("dme", 3, enumerable=True),
            Example("dme(levels=6, entropy_coded=true)", 4, enumerable=True),
            Example("dme(levels=3, span=norm)", 3, enumerable=True),
            Example("dme(levels=2, rotate=true)", 3, enumerable=True),
            Example("dme(levels=5, rotate=true, entropy_coded=true)", 4, enumerable=True),
            Example("dme", 1, enumerable=True),
            Example("dme(levels=16, rotate=true)", 1001),
            Example("dme(levels=33, entropy_coded=true, span=norm)", 70_001),
            Example("dme(levels=16)", 129),
        )


def _histogram(levels: Array, count: int) -> I64:
    """The number of occurrences of each level below ``count``: int64 [count], on the host."""
    if is_tensor(levels):
        counts: I64 = to_host(levels.bincount(minlength=count))
        return counts
    return np.bincount(levels, minlength=count)
