"""RATQ, the rotated adaptive tetra-iterated uniform quantizer of the l2 ball."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, I64, Array, like, to_host
from gradwire.common.arrays.hadamard import next_power_of_two
from gradwire.common.arrays.random_subset import random_subset
from gradwire.common.arrays.rotation import Rotation
from gradwire.common.arrays.tetration import range_bits
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.adaptive_levels import Adaptive, AdaptiveLevels
from gradwire.common.codecs.forms.gain import Length
from gradwire.common.codecs.forms.levels import UniformLevels
from gradwire.common.codecs.forms.shape import ShapeCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.codecs.wrappers.rotated import MAX_ROUNDS, working_precision
from gradwire.common.errors import SpecError
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec


@register
@dataclass(frozen=True, kw_only=True)
class Ratq(ShapeCodec[Adaptive]):
    """Rotate; give each group of coordinates the least of a few ranges that holds it; round to uniform levels of that.

    [S] equation 8 and Lemma 5.2 after [R]; the parameters are those of theory 2.3, where what [S] leaves open (erratum
    S4) is settled: coordinates are padded to D = 2^t and rotated by ``rounds`` rounds of public random signs and a
    Hadamard transform, groups of ``group`` have ranges M_i^2 = B^2 (3 e^{*i} + 2 ln group) / D capped at B, named by
    log2 h = ceil log2(1 + ln*(D / 3)) bits, and B is the gain: the l2 norm as a float32, or a public bound.

    Args:
        levels: 2^b - 1 for b bits; 0 is the papers' b = ceil log2(2 + sqrt(9 + 3 ln group)), that is 3 bits.
        group: coordinates that share a range; 0 is the papers': max(1, log2 h), and 1 where not all are sent.
        rounds: of the rotation; one is enough, because the codec is unbiased for every rotation.
        count: how many rotated coordinates are sent; none: all. Those are a public random subset, decoded D / count
            times as long ([R]'s RCS, for fewer bits than coordinates).
        budget: in place of ``count``, the largest payload in bits.

    Payload: the gain, ceil(count / group) log2 h bits of ranges, count * b bits of levels. Unbiased for every rotation
        (and averaged over the subset, where there is one): the last range holds the ball, nothing overflows. Variance,
        averaged over the rotation: at most B^2 (9 + 3 ln group) / (levels - 1)^2 (a proof is in theory 2.3), times
        dim / D for one round, because every row of it spreads noise evenly over padding too; with a subset, D / count
        times that and (D / count - 1) |x|^2 more.

    >>> from gradwire.common.codecs import parse
    >>> parse("ratq", dim=65_536).nbits, parse("ratq(budget=1000)", dim=65_536).nbits
    (262176, 997)
    """

    levels: int = 0
    group: int = 0
    rounds: int = 1
    count: int | None = None
    budget: int | None = None
    gain: Spec = Spec("exact")

    name = "ratq"
    source = "SimQ 5, eq. 8 (RATQ; S4)"
    plan_templates = ("ratq(count={n})", "ratq(levels={n})")
    shared_randomness = True
    variance_is_bound = True
    variance_given_shared = False  # some rotations are worse than the average

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.rounds <= MAX_ROUNDS:
            raise SpecError(f"{self.name}: rounds is {self.rounds}, expected 1 to {MAX_ROUNDS}")
        if self.budget is not None:
            self._spend(self.budget)
        if not 1 <= self.kept <= self.size:
            raise SpecError(
                f"{self.name}: count is {self.count}, expected 1 to {self.size} rotated coordinates"
            )
        self._set(count=None if self.kept == self.size else self.kept)
        self._set(group=self.group or (self._whole_group if self.count is None else 1))
        if not 1 <= self.group <= self.size:
            raise SpecError(f"{self.name}: group is {self.group}, expected 1 to {self.size} coordinates")
        self._set(levels=self.levels or _levels_for(self.group))
        object.__setattr__(self, "unbiased_given_shared", self.count is None)
        UniformLevels.of(self.levels, f"{self.name}: levels")

    def _set(self, **values: int | None) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _spend(self, budget: int) -> None:
        """Set ``count`` to what the budget pays for: all coordinates if it can, else as many as it can."""
        if self.count is not None:
            raise SpecError(f"{self.name}: count and budget are given, expected one of them")
        everything = self._quantizer_of(self.size, self.group or self._whole_group)
        group = self.group or 1
        part = self._quantizer_of(1, group)
        left = budget - self._gain.nbits
        groups, rest = divmod(left, part.range_bits + group * part.uniform.width)
        count = groups * group + max(0, rest - part.range_bits) // part.uniform.width
        if count < 1:
            raise SpecError(f"{self.name}: {budget} bits pay for no coordinate, expected more")
        self._set(budget=None, count=None if everything.nbits <= left else count)

    # ---- sizes ---------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """D: coordinates after padding."""
        return next_power_of_two(self.dim)

    @property
    def kept(self) -> int:
        """How many rotated coordinates are sent."""
        return self.size if self.count is None else self.count

    @property
    def shape_nbits(self) -> int:
        return self._quantizer.nbits

    @property
    def _whole_group(self) -> int:
        return max(1, range_bits(self.size))

    @cached_property
    def _quantizer(self) -> AdaptiveLevels:
        return self._quantizer_of(self.kept, self.group)

    def _quantizer_of(self, count: int, group: int) -> AdaptiveLevels:
        return AdaptiveLevels(self.size, count, group, UniformLevels(self.levels or _levels_for(group)))

    # ---- variance ------------------------------------------------------------------------------------------

    def variance(self, norm: float = 1.0) -> float:
        return self._gain.largest(
            norm, norm, lambda gain, scale: self._noise(gain, scale * norm) + ((1 - scale) * norm) ** 2
        )

    def _noise(self, gain: float, norm: float) -> float:
        thinned = self.size / self.kept
        # By the proof, and no more than if every range were the last.
        squares = min(9 + 3 * math.log(self.group), self.size)
        rounding = self._row_noise * squares / (self.levels - 1) ** 2
        return thinned * rounding * gain**2 + (thinned - 1) * norm**2

    @property
    def _row_noise(self) -> float:
        """How much of the noise of rotated coordinates is left when padding is undone."""
        return self.dim / self.size if self.rounds == 1 else 1.0

    def variance_given(self, x: NDArray[np.floating], shared: int) -> float:
        """The exact E|decode(encode(x)) - x|^2 of a vector [dim] for one rotation: one round, all coordinates."""
        if self.rounds != 1 or self.count is not None:
            raise NotImplementedError("a closed form is known for one round and all coordinates")
        y = self._rotation(shared).apply(x.astype(np.float64))

        def error(gain: float, scale: float) -> float:
            noise = gain**2 * float(self._quantizer.noise(y * (scale / gain)).sum()) if gain else 0.0
            return self._row_noise * noise + (1 - scale) ** 2 * float(y @ y)

        return self._gain.average(float(np.linalg.norm(y)), error)

    # ---- hooks ---------------------------------------------------------------------------------------------

    def _length(self, vector: GradientVector) -> Length:
        return Length(vector.norm_bound, vector.norm_bound)

    def _rotation(self, shared: int) -> Rotation:
        return Rotation(self.dim, self.rounds, shared)

    def _subset(self, shared: int) -> I64:
        return random_subset(self.size, self.kept, shared)

    def _rotated(self, unit: GradientVector, shared: int) -> Array:
        """The rotated coordinates that are sent [kept], before the unit's factor."""
        y = self._rotation(shared).apply(working_precision(unit))
        return y if self.count is None else y[like(self._subset(shared), y)]

    def _draw(self, unit: GradientVector, coins: Coins, shared: int) -> Adaptive:
        return self._quantizer.draw(self._rotated(unit, shared), unit.factor, coins)

    def _laws(self, unit: GradientVector, shared: int) -> Iterator[tuple[Adaptive, float]]:
        return self._quantizer.law(to_host(self._rotated(unit, shared)) * unit.factor)

    def _write(self, shape: Adaptive, out: BitWriter) -> None:
        self._quantizer.write(shape, out)

    def _read(self, bits: BitReader) -> Adaptive:
        return self._quantizer.read(bits)

    def _vector(self, shape: Adaptive, gain: float, shared: int) -> F64:
        y = self._quantizer.values(shape)
        y *= gain * (self.size / self.kept)
        if self.count is not None:
            sent, y = y, np.zeros(self.size)
            y[self._subset(shared)] = sent
        vector: F64 = self._rotation(shared).invert(y)
        return vector

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("ratq", 3, enumerable=True),
            Example("ratq(count=3)", 4, enumerable=True),
            Example("ratq", 1),
            Example("ratq(levels=3, group=3, rounds=2)", 1000),
            Example("ratq(budget=500, gain=bound(20.0))", 1000),
            Example("ratq", 70_001),
        )


def _levels_for(group: int) -> int:
    """The papers' k: log2(k + 1) = ceil log2(2 + sqrt(9 + 3 ln s))."""
    return (1 << math.ceil(math.log2(2 + math.sqrt(9 + 3 * math.log(group))))) - 1
