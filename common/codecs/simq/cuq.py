"""CUQ, the coordinate-wise uniform quantizer of the l_inf ball."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, Array, namespace
from gradwire.common.arrays.rounding import slabs, uniforms_like
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.gain import Exact, Length
from gradwire.common.codecs.forms.levels import UniformLevels
from gradwire.common.codecs.forms.shape import ShapeCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec


@register
@dataclass(frozen=True, kw_only=True)
class Cuq(ShapeCodec[Array]):
    """Each coordinate rounded without bias to one of ``levels`` points -M + 2 M l / (levels - 1), M the gain.

    [S] section 5 and equation 7, after [R]; theory 2.2. M is the l_inf norm (a float32) or a public bound on it.
    Payload: the gain, then ceil(log2 levels) bits a coordinate, which for the papers' levels = 2^b - 1 are their
    log2(levels + 1): b bits, an odd number of levels, zero one of them.

    Unbiased; variance step^2 f (1 - f) a coordinate, step = 2 M / (levels - 1), f the fraction of a step above the
    level below. With the exact gain the largest of all x is |x|^2 (sqrt(1 + 4 (d - 1) / (levels - 1)^2) - 1) / 2 for
    an odd number of levels, reached at one coordinate ±M and all others equal, and |x|^2 (d - 1) / (levels - 1)^2 for
    an even one, reached at a single coordinate. (Largest of step^2 sum f (1 - f) over M, with all other coordinates
    below one step: step sqrt((d - 1) (|x|^2 - M^2)) - (|x|^2 - M^2).)

    >>> from gradwire.common.codecs import parse
    >>> parse("cuq(levels=7)", dim=1000).nbits
    3032
    """

    levels: int = 7
    gain: Spec = Spec("exact")

    name = "cuq"
    source = "SimQ 5, eq. 7 (CUQ of RATQ)"
    variance_is_bound = True  # attained with the exact gain, at gradients of a special form

    def __post_init__(self) -> None:
        UniformLevels.of(self.levels, f"{self.name}: levels")
        super().__post_init__()

    @cached_property
    def _levels(self) -> UniformLevels:
        return UniformLevels(self.levels)

    @property
    def shape_nbits(self) -> int:
        return self.dim * self._levels.width

    def variance(self, norm: float = 1.0) -> float:
        if isinstance(self._gain, Exact):
            steps = 4 * (self.dim - 1) / (self.levels - 1) ** 2
            return norm**2 * ((math.sqrt(1 + steps) - 1) / 2 if self.levels % 2 else steps / 4)
        return self._gain.largest(
            norm / math.sqrt(self.dim),
            norm,
            lambda gain, scale: self._largest_noise(gain, scale * norm) + ((1 - scale) * norm) ** 2,
        )

    def _largest_noise(self, gain: float, norm: float) -> float:
        """At least the variance of vectors of at most that l2 norm: step sqrt(d) norm - norm^2, up to d step^2 / 4."""
        most, step = self.dim * (gain * self._levels.step) ** 2 / 4, gain * self._levels.step
        if self.levels % 2 == 0 or norm**2 >= most:
            return most
        return step * math.sqrt(self.dim) * norm - norm**2

    def variance_at(self, x: NDArray[np.floating]) -> float:
        v = x.astype(np.float64)

        def error(gain: float, scale: float) -> float:
            noise = gain**2 * float(self._levels.noise(v * (scale / gain)).sum()) if gain else 0.0
            return noise + (1 - scale) ** 2 * float(v @ v)

        return self._gain.average(float(np.abs(v).max()), error)

    def _length(self, vector: GradientVector) -> Length:
        return Length(vector.linf, vector.linf)

    def _draw(self, unit: GradientVector, coins: Coins, shared: int) -> Array:
        xp, x = namespace(unit.values), unit.values
        drawn = []
        for part in slabs(self.dim):
            z = xp.astype(x[part], xp.float64) * unit.factor
            drawn.append(self._levels.draw(z, uniforms_like(coins, z.shape[0], x)))
        return xp.concat(drawn)

    def _write(self, shape: Array, out: BitWriter) -> None:
        self._levels.write(shape, out)

    def _read(self, bits: BitReader) -> Array:
        return self._levels.read(bits, self.dim)

    def _vector(self, shape: Array, gain: float, shared: int) -> F64:
        vector = self._levels.values(shape)
        vector *= gain
        return vector

    def _laws(self, unit: GradientVector, shared: int) -> Iterator[tuple[Array, float]]:
        return self._levels.law(unit.exact)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("cuq", 3, enumerable=True),
            Example("cuq(levels=2)", 3, enumerable=True),
            Example("cuq(levels=3, gain=bound(1.5))", 4, enumerable=True),
            Example("cuq(levels=256)", 1, enumerable=True),
            Example("cuq(levels=15)", 70_001),
        )
