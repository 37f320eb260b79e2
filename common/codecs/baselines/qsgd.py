"""QSGD: stochastic levels of |x_i| / |x|, in Elias codes or a fixed length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, Array
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.dithered import (
    DitheredCodec,
    Levels,
    below_float32,
    check_zero,
    levels_per,
    on_grid,
    read_magnitude,
)
from gradwire.common.codecs.forms.gain import round_up_float32
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.lossless.signed_levels import LevelCode, level_code

MAX_LEVELS = 1 << 24  # levels times a float32 norm is then exact in float64
SPARSE = 16  # estimates with less than one level in so many coordinates are added up as terms


@register
@dataclass(frozen=True, kw_only=True)
class QSGD(DitheredCodec[float]):
    """|x|_2 as a float32, and sign(x_i) l_i with l_i / s a stochastic rounding of |x_i| / |x|_2 to s + 1 levels.

    l_i = floor(y) + 1 with probability y - floor(y), else floor(y), for y = s |x_i| / |x| (Alistarh, Grubic,
    Li, Tomioka, Vojnovic, NeurIPS 2017, section 3.1). ``coding``: ``omega``, the paper's Code (distances and
    levels in Elias' recursive code; bits in an order of their own, see ``kernels.elias``), ``omega_dense``, its
    Code', ``gamma`` and ``gamma_dense``, the same with Elias' gamma code, or ``fixed``, ceil(log2(2s + 1)) bits
    a coordinate. Only ``fixed`` has a fixed length; ``nbits`` of the others is a proven maximum, 3 (sparse)
    or 4 (dense) bits a coordinate at s = 1. The paper's 2.8 d + 32 bits at s = sqrt(d) leave out terms that do
    not vanish: Code' takes 2.97 d for a Gaussian vector.

    Unbiased. Variance (|x| / s)^2 sum f_i (1 - f_i), f_i the fraction of s |x_i| / |x|: at most (sqrt(d) / s - 1) |x|^2
    for s <= sqrt(d) / 2, at flat vectors, else d / 4 s^2 |x|^2 (Lemma 3.1 has min(d / s^2, sqrt(d) / s) |x|^2). The
    norm is rounded up to float32, and never below the largest coordinate.

    >>> from gradwire.common.codecs import parse
    >>> parse("qsgd(levels=1, coding=fixed)", dim=1000).nbits
    2032
    """

    levels: int = 1
    coding: str = "omega"

    name = "qsgd"
    source = "QSGD (Alistarh et al. 2017), Lemma 3.1, Thm 3.2"
    plan_templates = ("qsgd", "qsgd(levels={n}, coding=fixed)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.levels <= MAX_LEVELS:
            raise SpecError(f"qsgd: levels is {self.levels}, expected 1 to {MAX_LEVELS}")
        object.__setattr__(self, "fixed_length", self._code.fixed_length)
        object.__setattr__(self, "index_domain", self._code.sparse)

    @cached_property
    def _code(self) -> LevelCode:
        return level_code(self.coding, self.dim, self.levels)

    @cached_property
    def nbits(self) -> int:
        return 32 + self._code.nbits

    @property
    def variance_is_bound(self) -> bool:
        """Whether no vector need attain ``variance``."""
        return 2 * self.levels > math.sqrt(self.dim)

    def variance(self, norm: float = 1.0) -> float:
        if self.dim == 1:
            return 0.0  # the coordinate is the norm
        if self.variance_is_bound:
            return norm**2 * self.dim / (4 * self.levels**2)
        return norm**2 * (math.sqrt(self.dim) / self.levels - 1)

    def _grid(self, vector: GradientVector, values: Array) -> float:
        # Sums in float32 may put the norm of a sparse vector below its largest coordinate.
        return round_up_float32(below_float32(max(vector.norm, vector.linf)))

    def _onto(self, values: Array, grid: float) -> Array:
        return values * levels_per(grid, self.levels)

    def _step(self, grid: float) -> float:
        return grid / self.levels

    def _pack(self, symbols: Levels, out: BitWriter) -> None:
        out.write_float32(symbols.grid)
        self._code.write(symbols.levels, out)

    def _unpack(self, bits: BitReader) -> Levels:
        norm = read_magnitude(bits, "the norm")
        levels = self._code.read(bits)
        check_zero(norm, levels, "the norm")
        return Levels(norm, levels)

    def _reconstruct(self, symbols: Levels, shared: int) -> Terms | F64:
        step = self._step(symbols.grid)
        places = np.flatnonzero(symbols.levels) if self.index_domain else None
        if places is None or places.size > self.dim // SPARSE:
            return on_grid(symbols.levels, step)
        return Terms(self.dim, places, on_grid(symbols.levels[places], step))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("qsgd", 3, enumerable=True),
            Example("qsgd(coding=fixed)", 4, enumerable=True),
            Example("qsgd(levels=3, coding=fixed)", 3, enumerable=True),
            Example("qsgd(levels=5, coding=gamma_dense)", 2, enumerable=True),
            Example("qsgd(levels=4, coding=omega_dense)", 1, enumerable=True),
            Example("qsgd(levels=2, coding=gamma)", 129),
            Example("qsgd(levels=16, coding=omega)", 70_001),
            Example("qsgd(levels=7, coding=fixed)", 70_001),
            Example("qsgd(levels=300, coding=omega_dense)", 1000),
        )
