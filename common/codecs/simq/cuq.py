"""CUQ, the coordinate-wise uniform quantizer of the l_inf ball."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, Array
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.gain import ExactGain, NormEstimate
from gradwire.common.codecs.forms.levels import MAX_LEVELS, ODD, UniformLevels
from gradwire.common.codecs.forms.shape import ShapeCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec


@register
@dataclass(frozen=True, kw_only=True)
class Cuq(ShapeCodec[Array]):
    """Each coordinate rounded without bias to one of ``levels`` points -M + 2 M l / (levels - 1), M the gain.

    [S] section 5 and equation 7, after [R]; theory 2.2. M is the l_inf norm (a float32) or a public bound on it.

    Payload: the gain, then ceil(log2 levels) bits per coordinate. For levels = 2^b - 1 as in [S] that is log2(levels +
    1) = b bits, and zero is a level.
    Unbiased; variance step^2 f (1 - f) per coordinate, step = 2 M / (levels - 1), f the fraction of a step above the
    level below. With the exact gain the largest over x is |x|^2 (sqrt(1 + 4 (d - 1) / (levels - 1)^2) - 1) / 2 for an
    odd number of levels, attained at one coordinate ±M and all others equal, and |x|^2 (d - 1) / (levels - 1)^2 for an
    even one, attained at a single coordinate. (Largest of step^2 sum f (1 - f) over M, with all other coordinates
    below one step: step sqrt((d - 1) (|x|^2 - M^2)) - (|x|^2 - M^2).)

    Raises:
        SpecError: levels outside 2 to 2**24.

    >>> from gradwire.common.codecs import parse
    >>> parse("cuq(levels=7)", dim=1000).nbits
    3032
    """

    levels: int = 7
    gain: Spec = Spec("exact")

    name = "cuq"
    source = "[S] 5, eq 7; [R] (CUQ)"
    variance_is_bound = True

    def __post_init__(self) -> None:
        self._check_range("levels", 2, MAX_LEVELS, ODD)
        super().__post_init__()

    @cached_property
    def _levels(self) -> UniformLevels:
        return UniformLevels(self.levels)

    @property
    def shape_nbits(self) -> int:
        return self.dim * self._levels.width

    def variance(self, norm: float = 1.0) -> float:
        if isinstance(self._gain, ExactGain):
            steps = 4 * (self.dim - 1) / (self.levels - 1) ** 2
            return norm**2 * ((math.sqrt(1 + steps) - 1) / 2 if self.levels % 2 else steps / 4)
        shortest = norm / math.sqrt(self.dim)
        return self._gain.largest_error(
            shortest, norm, norm, lambda gain, scale: self._largest_noise(gain, scale * norm)
        )

    def _largest_noise(self, gain: float, norm: float) -> float:
        """An upper bound of the noise over vectors of that l2 norm: step sqrt(d) norm - norm^2, up to d step^2 / 4."""
        most, step = self.dim * (gain * self._levels.step) ** 2 / 4, gain * self._levels.step
        if self.levels % 2 == 0 or norm**2 >= most:
            return most
        return step * math.sqrt(self.dim) * norm - norm**2

    def variance_at(self, x: NDArray[np.floating]) -> float:
        v = x.astype(np.float64)

        def noise(gain: float, scale: float) -> float:
            return gain**2 * float(self._levels.variances(v * (scale / gain)).sum()) if gain else 0.0

        return self._gain.error(float(np.abs(v).max()), float(np.linalg.norm(v)), noise)

    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        return NormEstimate(vector.linf, vector.linf)

    def _draw_shape(self, unit: GradientVector, coins: Coins, shared: int) -> Array:
        return self._levels.draw_scaled(unit.values, unit.factor, coins)

    def _write_shape(self, shape: Array, out: BitWriter) -> None:
        self._levels.write(shape, out)

    def _read_shape(self, bits: BitReader) -> Array:
        return self._levels.read(bits, self.dim)

    def _decode_shape(self, shape: Array, gain: float, shared: int) -> F64:
        vector = self._levels.values(shape)
        vector *= gain
        return vector

    def _shape_law(self, unit: GradientVector, shared: int) -> Iterator[tuple[Array, float]]:
        return self._levels.law(unit.on_host)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("cuq", 3, enumerable=True),
            Example("cuq(levels=2)", 3, enumerable=True),
            Example("cuq(levels=3, gain=bound(1.5))", 4, enumerable=True),
            Example("cuq(levels=256)", 1, enumerable=True),
            Example("cuq(levels=15)", 70_001),
        )
