"""QSGD: stochastic levels of |x_i| / |x|, in Elias codes or with a fixed length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, Array
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.scaled_levels import ScaledLevelsCodec
from gradwire.common.codecs.forms.stochastic_rounding import GridLevels, from_steps
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.lossless.signed_levels import LevelCode, level_code

MAX_LEVELS = 1 << 24  # levels times a float32 norm is then exact in float64
SPARSE = 16  # estimates with at most 1 / SPARSE nonzero levels are added as terms


@register
@dataclass(frozen=True, kw_only=True)
class QSGD(ScaledLevelsCodec):
    """|x| as a float32, and sign(x_i) l_i with l_i / s an unbiased rounding of |x_i| / |x| to s + 1 levels.

    l_i = floor(y) + 1 with probability y - floor(y), else floor(y), for y = s |x_i| / |x| ([QSGD] section 3.1;
    theory 11). The norm is rounded up to float32, and never below the largest coordinate.

    Payload: the norm, then the levels. With ``coding=fixed`` exactly 32 + d ceil(log2(2s + 1)) bits. Other lengths
    depend on the gradient; ``nbits`` is then a proven maximum, at s = 1 3 (sparse) or 4 (dense) bits per coordinate.
    [QSGD]'s 2.8 d + 32 bits at s = sqrt(d) leave out terms that do not vanish: Code' takes 2.97 d for a Gaussian
    vector.
    Unbiased; variance (|x| / s)^2 sum f_i (1 - f_i), f_i the fraction of s |x_i| / |x|: at most (sqrt(d) / s - 1) |x|^2
    for s <= sqrt(d) / 2, at flat vectors, else d / 4 s^2 |x|^2 (Lemma 3.1 has min(d / s^2, sqrt(d) / s) |x|^2).

    Args:
        levels: s, 1 to 2**24.
        coding: ``omega``, Code of [QSGD] (distances and levels in the recursive code of [Elias75]; bits in an order of
            their own, see ``lossless/elias.py``); ``omega_dense``, its Code'; ``gamma`` and ``gamma_dense``, the same
            with the gamma code; or ``fixed``.

    Raises:
        SpecError: levels outside these bounds, or an unknown coding.

    >>> from gradwire.common.codecs import parse
    >>> parse("qsgd(levels=1, coding=fixed)", dim=1000).nbits
    2032
    """

    levels: int = 1
    coding: str = "omega"

    name = "qsgd"
    source = "[QSGD] Lemma 3.1, Theorem 3.2"
    plan_templates = ("qsgd", "qsgd(levels={n}, coding=fixed)")
    scale_name = "the norm"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("levels", 1, MAX_LEVELS)
        self._settle(fixed_length=self._code.fixed_length, index_domain=self._code.sparse)

    @cached_property
    def _code(self) -> LevelCode:
        return level_code(self.coding, self.dim, self.levels)

    @cached_property
    def nbits(self) -> int:
        return 32 + self._code.nbits

    @property
    def variance_is_bound(self) -> bool:
        """True for s > sqrt(d) / 2, where no vector need have f_i = 1/2 everywhere."""
        return 2 * self.levels > math.sqrt(self.dim)

    def variance(self, norm: float = 1.0) -> float:
        if self.dim == 1:
            # The coordinate is the norm.
            return 0.0
        if self.variance_is_bound:
            return norm**2 * self.dim / (4 * self.levels**2)
        return norm**2 * (math.sqrt(self.dim) / self.levels - 1)

    @property
    def top(self) -> int:
        return self.levels

    def _scale(self, vector: GradientVector) -> float:
        # Sums in float32 may put the norm of a sparse vector below its largest coordinate.
        return max(vector.norm, vector.linf)

    def _write_levels(self, levels: Array, out: BitWriter) -> None:
        self._code.write(levels, out)

    def _read_levels(self, bits: BitReader) -> Array:
        return self._code.read(bits)

    def _reconstruct(self, symbols: GridLevels, shared: int) -> Terms | F64:
        places = np.flatnonzero(symbols.levels) if self.index_domain else None
        if places is None or places.size > self.dim // SPARSE:
            return super()._reconstruct(symbols, shared)
        return Terms(self.dim, places, from_steps(symbols.levels[places], self._step(symbols.grid)))

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
