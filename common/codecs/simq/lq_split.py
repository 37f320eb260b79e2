"""The split quantizer of SimQ's paper for gradients in an l_q ball, q above 2: a few large coordinates apart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter, pack
from gradwire.common.arrays.compat import F64, I64, Array, namespace
from gradwire.common.arrays.rounding import slabs, uniforms_like
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.adaptive_levels import Adaptive
from gradwire.common.codecs.forms.gain import Length
from gradwire.common.codecs.forms.levels import UniformLevels
from gradwire.common.codecs.forms.shape import ShapeCodec
from gradwire.common.codecs.simq.ratq import Ratq
from gradwire.common.codecs.simq.split_constants import SplitConstants
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import PayloadError, SpecError
from gradwire.common.lossless.position_code import PositionCode, position_code
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec


class Split(NamedTuple):
    """Symbols: which coordinates are large (increasing), the levels of the others, and RATQ's symbols of the large."""

    positions: I64
    small: Array
    large: Adaptive | None


@register
@dataclass(frozen=True, kw_only=True)
class LqSplit(ShapeCodec[Split]):
    """Coordinates up to a threshold c by CUQ on [-c, c], the few beyond it by their positions and RATQ.

    [S] section 5, equations 6 to 8, for p in [1, 2) and gradients in the l_q ball, 1/p + 1/q = 1; constants of theory
    2.4, with B the gain (the l_q norm as a float32, or a public bound): Delta_2 = max(1, ceil log2(1 + ln*(d / 3))),
    Delta_1 = ceil log2(2 + sqrt(18 + 6 ln Delta_2) d^(1/2 - 1/q)), c = B (Delta_1 / d)^(1/q), fewer than d / Delta_1
    coordinates beyond c, so at most d' = ceil(d / Delta_1) - 1 (erratum S4), none for q = inf. Small ones have log2(k +
    1) = ceil log2(2 sqrt(2) Delta_1^(1/q) + 2) bits, large ones Delta_1, and B' = B d'^(1/2 - 1/q) bounds the l2 norm
    of these.

    Args:
        p: 1 to below 2.
        positions: ``mask``, d bits, as in the paper; or ``set`` or ``elias_fano``: always d' positions, in ceil log2
            C(d, d') bits or in a tenth more, and no small symbols there; that saves near to one bit a coordinate.

    Payload: the gain, the positions, the small symbols, then RATQ's for d' coordinates. Unbiased for every rotation;
        E|Q|_q^2 <= 12 B^2 (Lemmas 5.1 and 5.2; S2, S3). ``variance`` is that of l2, at most, over the rotation.

    >>> from gradwire.common.codecs import parse
    >>> parse("lq_split(p=1.0)", dim=1000).nbits, parse("lq_split(p=1.5)", dim=1000).nbits
    (3032, 5568)
    """

    p: float = 1.5
    positions: str = "mask"
    gain: Spec = Spec("exact")

    name = "lq_split"
    source = "SimQ 5, eq. 6-8 (S2, S3, S4)"
    variance_is_bound = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.p < 2:
            raise SpecError(
                f"{self.name}: p is {self.p}, expected 1 to below 2 (from 2 on, [S] uses simq_plus)"
            )
        position_code(self.positions)
        object.__setattr__(self, "shared_randomness", self.most > 0)
        object.__setattr__(self, "variance_given_shared", self.most == 0)

    @cached_property
    def _constants(self) -> SplitConstants:
        return SplitConstants(self.dim, self.p)

    @property
    def most(self) -> int:
        """d': how many coordinates may be large."""
        return self._constants.most

    @cached_property
    def _small(self) -> UniformLevels:
        return UniformLevels((1 << self._constants.small_bits) - 1)

    @cached_property
    def _code(self) -> PositionCode:
        return position_code(self.positions)(self.dim, self.most)

    @cached_property
    def _large(self) -> Ratq:
        return Ratq(dim=self.most, levels=(1 << self._constants.large_bits) - 1, gain=Spec("bound", (1.0,)))

    # ---- sizes and errors ----------------------------------------------------------------------------------

    @cached_property
    def _small_count(self) -> int:
        return self.dim - self.most if self._code.exactly else self.dim

    @cached_property
    def shape_nbits(self) -> int:
        apart = self._code.nbits + self._large.shape_nbits if self.most else 0
        return apart + self._small_count * self._small.width

    def variance(self, norm: float = 1.0) -> float:
        step = self._constants.threshold * self._small.step
        large = self._constants.large_norm**2 * self._large.variance(0.0) if self.most else 0.0

        def error(gain: float, scale: float) -> float:
            flat = self.dim * (gain * step) ** 2 / 4
            small = min(flat, gain * step * math.sqrt(self.dim) * scale * norm)
            return small + gain**2 * large + ((1 - scale) * norm) ** 2

        return self._gain.largest(norm * self.dim ** (1 / self._constants.q - 0.5), norm, error)

    def variance_at(self, x: NDArray[np.floating]) -> float:
        if self.most:
            raise NotImplementedError(f"{self.name}: the variance of a vector depends on the rotation")
        v, c = x.astype(np.float64), self._constants.threshold

        def error(gain: float, scale: float) -> float:
            noise = (gain * c) ** 2 * float(self._small.noise(v * (scale / gain / c)).sum()) if gain else 0.0
            return noise + (1 - scale) ** 2 * float(v @ v)

        return self._gain.average(float(np.abs(v).max()), error)

    # ---- hooks ---------------------------------------------------------------------------------------------

    def _length(self, vector: GradientVector) -> Length:
        norm = vector.linf if math.isinf(self._constants.q) else vector.lq(self._constants.q) * (1 + 1e-12)
        return Length(norm, norm)

    def _is_large(self, unit: GradientVector) -> Array:
        """Which coordinates are sent as large ones: bool [dim], on the gradient's device."""
        xp, x = namespace(unit.values), unit.values
        beyond = [
            xp.abs(xp.astype(x[part], xp.float64)) * unit.factor > self._constants.threshold
            for part in slabs(self.dim)
        ]
        large = xp.concat(beyond)
        positions = xp.nonzero(large)[0]
        large[positions[self.most :]] = False  # rounding of the norm may let one pass too many
        missing = self.most - positions.shape[0]
        if self._code.exactly and missing > 0:
            large[xp.nonzero(~large)[0][:missing]] = True
        return large

    def _draw(self, unit: GradientVector, coins: Coins, shared: int) -> Split:
        xp, x = namespace(unit.values), unit.values
        if not self.most:
            return Split(np.zeros(0, np.int64), self._draw_small(x, unit.factor, coins), None)
        is_large = self._is_large(unit)
        rest = x[~is_large] if self._code.exactly else xp.where(is_large, xp.zeros_like(x), x)
        small = self._draw_small(rest, unit.factor, coins)
        large = self._large._draw(self._large_part(unit, is_large), coins, shared)
        return Split(_positions(is_large), small, large)

    def _draw_small(self, x: Array, factor: float, coins: Coins) -> Array:
        xp, drawn = namespace(x), []
        for part in slabs(x.shape[0]):
            z = xp.astype(x[part], xp.float64) * (factor / self._constants.threshold)
            drawn.append(self._small.draw(z, uniforms_like(coins, z.shape[0], z)))
        return xp.concat(drawn)

    def _large_part(self, unit: GradientVector, is_large: Array) -> GradientVector:
        """The large coordinates in order, then zeros: a vector of the l2 unit ball [most]."""
        xp = namespace(unit.values)
        found = unit.values[is_large]
        padded = xp.concat([found, xp.zeros_like(unit.values[: self.most - found.shape[0]])])
        return GradientVector.of(padded, self.most).scaled(unit.factor / self._constants.large_norm)

    def _laws(self, unit: GradientVector, shared: int) -> Iterator[tuple[Split, float]]:
        z = GradientVector.of(unit.exact, self.dim)
        if not self.most:
            yield from ((Split(np.zeros(0, np.int64), s, None), p) for s, p in self._small.law(z.values))
            return
        is_large = self._is_large(z)
        rest = z.values[~is_large] if self._code.exactly else np.where(is_large, 0.0, z.values)
        for large, p in self._large._laws(self._large_part(z, is_large), shared):
            for small, share in self._small.law(rest / self._constants.threshold):
                yield Split(_positions(is_large), small, large), p * share

    def _write(self, shape: Split, out: BitWriter) -> None:
        if shape.large is not None:
            self._code.write(shape.positions, out)
        self._small.write(shape.small, out)
        if shape.large is not None:
            self._large._write(shape.large, out)

    def _read(self, bits: BitReader) -> Split:
        if not self.most:
            return Split(np.zeros(0, np.int64), self._small.read(bits, self.dim), None)
        positions = self._code.read(bits)
        small = self._small.read(bits, self._small_count)
        if not self._code.exactly and (small[positions] != self._small.count // 2).any():
            raise PayloadError(
                "a large coordinate has a small part too, expected none: the payload is corrupt"
            )
        return Split(positions, small, self._large._read(bits))

    def _vector(self, shape: Split, gain: float, shared: int) -> F64:
        small = self._small.values(shape.small)
        small *= gain * self._constants.threshold
        if shape.large is None:
            return small
        large = self._large._vector(shape.large, gain * self._constants.large_norm, shared)[
            : shape.positions.size
        ]
        if not self._code.exactly:
            small[shape.positions] = large
            return small
        vector = np.empty(self.dim)
        is_small = np.ones(self.dim, bool)
        is_small[shape.positions] = False
        vector[is_small], vector[shape.positions] = small, large
        return vector

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("lq_split(p=1.0)", 3, enumerable=True),
            Example("lq_split(p=1.2)", 6, enumerable=True),
            Example("lq_split(p=1.5, positions=set, gain=bound(20.0))", 100),
            Example("lq_split(p=1.5, positions=elias_fano)", 500),
            Example("lq_split(p=1.25, positions=set)", 1000),
            Example("lq_split(p=1.4)", 70_001),
        )


def _positions(is_large: Array) -> I64:
    """Where a mask is true, on the host; what crosses is a bit a coordinate."""
    return np.flatnonzero(np.unpackbits(pack(is_large, 1), count=is_large.shape[0], bitorder="little"))
