"""The split quantizer of [S] for gradients in an l_q ball, q above 2: large coordinates apart from the others."""

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
from gradwire.common.arrays.rounding import slabs
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.adaptive_levels import AdaptiveSymbols
from gradwire.common.codecs.forms.gain import NormEstimate
from gradwire.common.codecs.forms.levels import UniformLevels
from gradwire.common.codecs.forms.shape import ShapeCodec
from gradwire.common.codecs.simq.ratq import Ratq
from gradwire.common.codecs.simq.split_constants import SplitConstants
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import PayloadError, SpecError
from gradwire.common.lossless.position_code import EliasFano, Mask, PositionCode, Subset, position_code
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec

MAX_SET_DIM = 1 << 20  # coordinates up to which the default considers the slow code of positions


class SplitSymbols(NamedTuple):
    """The positions of the large coordinates, increasing; the levels of the small ones; RATQ's symbols of the large."""

    positions: I64
    small: Array
    large: AdaptiveSymbols | None


@register
@dataclass(frozen=True, kw_only=True)
class LqSplit(ShapeCodec[SplitSymbols]):
    """Coordinates up to a threshold c by CUQ on [-c, c], those beyond it by their positions and RATQ.

    [S] section 5, equations 6 to 8, for p in [1, 2) and gradients in the l_q ball, 1/p + 1/q = 1; constants of theory
    2.4, with B the gain (the l_q norm as a float32, or a public bound): Delta_2 = max(1, ceil log2(1 + ln*(d / 3))),
    Delta_1 = ceil log2(2 + sqrt(18 + 6 ln Delta_2) d^(1/2 - 1/q)), c = B (Delta_1 / d)^(1/q). Fewer than d / Delta_1
    coordinates are beyond c, so at most d' = ceil(d / Delta_1) - 1 (erratum S4), none for q = inf. Small ones have
    log2(k + 1) = ceil log2(2 sqrt(2) Delta_1^(1/q) + 2) bits, large ones Delta_1, and B' = B d'^(1/2 - 1/q) bounds the
    l2 norm of the large part.

    Payload: the gain, the positions, the small symbols, then RATQ's for d' coordinates.
    Unbiased for every rotation; E|Q|_q^2 <= 12 B^2 ([S] Lemmas 5.1 and 5.2; errata S2 and S3). ``variance`` is an upper
    bound in l2, averaged over the rotation.

    Args:
        p: 1 to below 2.
        positions: ``mask``, d bits, as in [S]; or ``set`` or ``elias_fano``: always d' positions, in ceil log2 C(d, d')
            bits or a tenth more, and no small symbols there, which saves almost one bit per coordinate. By default the
            one with the shortest payload, which is at most what [S] Theorem 3.1 has; beyond 2^20 coordinates, where
            ``set`` takes seconds, of the other two. With ``mask`` the padding of RATQ can exceed that number.

    Raises:
        SpecError: p outside these bounds, or an unknown code of positions.

    >>> from gradwire.common.codecs import parse
    >>> parse("lq_split(p=1.0)", dim=1000).nbits, parse("lq_split(p=1.5)", dim=1000).nbits
    (3032, 4686)
    """

    p: float = 1.5
    positions: str | None = None
    gain: Spec = Spec("exact")

    name = "lq_split"
    source = "[S] 5, eq 6 to 8 (S2, S3, S4)"
    variance_is_bound = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.p < 2:
            raise SpecError(
                f"{self.name}: p is {self.p}, expected 1 to below 2 (from 2 on, [S] uses simq_plus)"
            )
        self._settle(positions=self._shortest_positions() if self.positions is None else self.positions)
        _ = self._positions
        self._settle(shared_randomness=self.max_large > 0, variance_given_shared=self.max_large == 0)

    @cached_property
    def _constants(self) -> SplitConstants:
        return SplitConstants(self.dim, self.p)

    @property
    def max_large(self) -> int:
        """The largest number of large coordinates, d'."""
        return self._constants.max_large

    @cached_property
    def _small(self) -> UniformLevels:
        return UniformLevels((1 << self._constants.small_bits) - 1)

    @cached_property
    def _positions(self) -> PositionCode:
        assert self.positions is not None
        return position_code(self.positions)(self.dim, self.max_large)

    def _shortest_positions(self) -> str:
        """The name of the code with the shortest payload, of equally short ones the fastest."""
        if not self.max_large:
            return Mask.name  # no positions are sent
        fast = (Mask, EliasFano) if self.dim > MAX_SET_DIM else (Mask, EliasFano, Subset)
        codes = (code(self.dim, self.max_large) for code in fast)
        return min(codes, key=lambda code: code.nbits + self._symbols_beside(code) * self._small.width).name

    def _symbols_beside(self, positions: PositionCode) -> int:
        """The number of small symbols."""
        return self.dim - self.max_large if positions.exactly else self.dim

    @cached_property
    def _large(self) -> Ratq:
        levels = (1 << self._constants.large_bits) - 1
        return Ratq(dim=self.max_large, levels=levels, gain=Spec("bound", (1.0,)))

    # ---- sizes and errors ----------------------------------------------------------------------------------

    @property
    def _small_count(self) -> int:
        return self._symbols_beside(self._positions)

    @cached_property
    def shape_nbits(self) -> int:
        large = self._positions.nbits + self._large.shape_nbits if self.max_large else 0
        return large + self._small_count * self._small.width

    def variance(self, norm: float = 1.0) -> float:
        step = self._constants.threshold * self._small.step
        large = self._constants.large_norm**2 * self._large.variance(0.0) if self.max_large else 0.0

        def noise(gain: float, scale: float) -> float:
            flat = self.dim * (gain * step) ** 2 / 4
            small = min(flat, gain * step * math.sqrt(self.dim) * scale * norm)
            return small + gain**2 * large

        return self._gain.largest_error(norm * self.dim ** (1 / self._constants.q - 0.5), norm, norm, noise)

    def variance_at(self, x: NDArray[np.floating]) -> float:
        if self.max_large:
            raise NotImplementedError(f"{self.name}: the variance of a vector depends on the rotation")
        v, c = x.astype(np.float64), self._constants.threshold

        def noise(gain: float, scale: float) -> float:
            if not gain:
                return 0.0
            return (gain * c) ** 2 * float(self._small.variances(v * (scale / gain / c)).sum())

        return self._gain.error(float(np.abs(v).max()), float(np.linalg.norm(v)), noise)

    # ---- encoding ------------------------------------------------------------------------------------------

    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        norm = vector.linf if math.isinf(self._constants.q) else vector.lq(self._constants.q) * (1 + 1e-12)
        return NormEstimate(norm, norm)

    def _draw_shape(self, unit: GradientVector, coins: Coins, shared: int) -> SplitSymbols:
        xp, x = namespace(unit.values), unit.values
        factor = unit.factor / self._constants.threshold
        if not self.max_large:
            return SplitSymbols(np.zeros(0, np.int64), self._small.draw_scaled(x, factor, coins), None)
        is_large = self._is_large(unit)
        rest = x[~is_large] if self._positions.exactly else xp.where(is_large, xp.zeros_like(x), x)
        small = self._small.draw_scaled(rest, factor, coins)
        large = self._large._draw_shape(self._large_part(unit, is_large), coins, shared)
        return SplitSymbols(_nonzero_on_host(is_large), small, large)

    def _is_large(self, unit: GradientVector) -> Array:
        """The coordinates that are sent as large ones: bool [dim], on the gradient's device."""
        xp, x = namespace(unit.values), unit.values
        beyond = [
            xp.abs(xp.astype(x[part], xp.float64)) * unit.factor > self._constants.threshold
            for part in slabs(self.dim)
        ]
        large = xp.concat(beyond)
        positions = xp.nonzero(large)[0]
        # Rounding of the norm may let one more coordinate pass than there can be.
        large[positions[self.max_large :]] = False
        missing = self.max_large - positions.shape[0]
        if self._positions.exactly and missing > 0:
            large[xp.nonzero(~large)[0][:missing]] = True
        return large

    def _large_part(self, unit: GradientVector, is_large: Array) -> GradientVector:
        """The large coordinates in order, then zeros: a vector [max_large] of the l2 unit ball."""
        xp = namespace(unit.values)
        found = unit.values[is_large]
        padded = xp.concat([found, xp.zeros_like(unit.values[: self.max_large - found.shape[0]])])
        return GradientVector.of(padded, self.max_large).scaled(unit.factor / self._constants.large_norm)

    def _shape_law(self, unit: GradientVector, shared: int) -> Iterator[tuple[SplitSymbols, float]]:
        z = GradientVector.of(unit.on_host, self.dim)
        if not self.max_large:
            none = np.zeros(0, np.int64)
            yield from ((SplitSymbols(none, small, None), p) for small, p in self._small.law(z.values))
            return
        is_large = self._is_large(z)
        rest = z.values[~is_large] if self._positions.exactly else np.where(is_large, 0.0, z.values)
        for large, p in self._large._shape_law(self._large_part(z, is_large), shared):
            for small, share in self._small.law(rest / self._constants.threshold):
                yield SplitSymbols(_nonzero_on_host(is_large), small, large), p * share

    def _write_shape(self, shape: SplitSymbols, out: BitWriter) -> None:
        if shape.large is not None:
            self._positions.write(shape.positions, out)
        self._small.write(shape.small, out)
        if shape.large is not None:
            self._large._write_shape(shape.large, out)

    # ---- decoding ------------------------------------------------------------------------------------------

    def _read_shape(self, bits: BitReader) -> SplitSymbols:
        if not self.max_large:
            return SplitSymbols(np.zeros(0, np.int64), self._small.read(bits, self.dim), None)
        positions = self._positions.read(bits)
        small = self._small.read(bits, self._small_count)
        if not self._positions.exactly and (small[positions] != self._small.count // 2).any():
            raise PayloadError(
                "a large coordinate has a small part too, expected none: the payload is corrupt"
            )
        return SplitSymbols(positions, small, self._large._read_shape(bits))

    def _decode_shape(self, shape: SplitSymbols, gain: float, shared: int) -> F64:
        small = self._small.values(shape.small)
        small *= gain * self._constants.threshold
        if shape.large is None:
            return small
        large = self._large._decode_shape(shape.large, gain * self._constants.large_norm, shared)
        large = large[: shape.positions.size]
        if not self._positions.exactly:
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
            Example("lq_split(p=1.5, positions=mask)", 5, enumerable=True),
            Example("lq_split(p=1.4)", 70_001),
            Example("lq_split(p=1.4, positions=mask)", 70_001),
        )


def _nonzero_on_host(mask: Array) -> I64:
    """The indices at which a mask is true, on the host; one bit per coordinate is copied from the device."""
    return np.flatnonzero(np.unpackbits(pack(mask, 1), count=mask.shape[0], bitorder="little"))
