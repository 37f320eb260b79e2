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
from gradwire.common.codecs.forms.adaptive_levels import AdaptiveLevels, AdaptiveSymbols
from gradwire.common.codecs.forms.gain import NormEstimate
from gradwire.common.codecs.forms.levels import MAX_LEVELS, ODD, UniformLevels
from gradwire.common.codecs.forms.random_rotation import MAX_ROUNDS
from gradwire.common.codecs.forms.shape import ShapeCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec


@register
@dataclass(frozen=True, kw_only=True)
class Ratq(ShapeCodec[AdaptiveSymbols]):
    """Rotate, choose for each group of coordinates the least of a few ranges that holds it, round to uniform levels.

    [S] equation 8 and Lemma 5.2 after [R], with the parameters of theory 2.3 where [S] leaves them open (erratum S4):
    coordinates are padded to D = 2^t and rotated by ``rounds`` rounds of public random signs and a Hadamard transform;
    groups of ``group`` have ranges M_i^2 = B^2 (3 e^{*i} + 2 ln group) / D capped at B, numbered in log2 h =
    ceil log2(1 + ln*(D / 3)) bits; B is the gain, the l2 norm as a float32 or a public bound.

    Payload: the gain, ceil(count / group) log2 h bits of ranges, count * b bits of levels.
    Unbiased for every rotation (and on average over the subset, where there is one), because the last range holds the
    ball. Variance, averaged over the rotation, at most B^2 (9 + 3 ln group) / (levels - 1)^2 (proof in theory 2.3),
    times dim / D for one round, because every row of the rotation spreads noise evenly over the padding too. With a
    subset, D / count times that, and (D / count - 1) |x|^2 more.

    Args:
        levels: 2^b - 1 for b bits; 0 is [R]'s b = ceil log2(2 + sqrt(9 + 3 ln group)), that is 3 bits.
        group: coordinates that share a range; 0 is [R]'s max(1, log2 h), and 1 where not all coordinates are sent.
        rounds: of the rotation; one is enough, because the codec is unbiased for every rotation.
        count: rotated coordinates that are sent, by default all; they are a public random subset, decoded D / count
            times as long (RCS of [R], for fewer bits than coordinates).
        budget: in place of ``count``, the largest payload in bits.

    Raises:
        SpecError: a parameter outside its bounds, both a count and a budget, or a budget below one coordinate.

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
    source = "[S] 5, eq 8 (S4); [R]"
    plan_templates = ("ratq(count={n})", "ratq(levels={n})")
    shared_randomness = True
    variance_is_bound = True
    # Some rotations are worse than the average.
    variance_given_shared = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("rounds", 1, MAX_ROUNDS)
        if self.budget is not None:
            self._apply_budget(self.budget)
        if self.count is not None:
            self._check_range("count", 1, self.size, "rotated coordinates")
            self._settle(count=None if self.count == self.size else self.count)
        self._settle(group=self.group or (self._default_group if self.count is None else 1))
        self._check_range("group", 1, self.size, "coordinates")
        self._settle(levels=self.levels or _default_levels(self.group))
        self._check_range("levels", 2, MAX_LEVELS, ODD)
        self._settle(unbiased_given_shared=self.count is None)

    def _apply_budget(self, budget: int) -> None:
        """Replace ``budget`` by a ``count``: all coordinates if they fit, else as many as do."""
        if self.count is not None:
            raise SpecError(f"{self.name}: count and budget are given, expected one of them")
        everything = self._quantizer_of(self.size, self.group or self._default_group)
        group = self.group or 1
        part = self._quantizer_of(1, group)
        left = budget - self._gain.nbits
        groups, rest = divmod(left, part.range_bits + group * part.uniform.width)
        count = groups * group + max(0, rest - part.range_bits) // part.uniform.width
        if count < 1:
            raise SpecError(f"{self.name}: {budget} bits pay for no coordinate, expected more")
        self._settle(budget=None, count=None if everything.nbits <= left else count)

    # ---- sizes ---------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """D: coordinates after padding."""
        return next_power_of_two(self.dim)

    @property
    def sent_count(self) -> int:
        """The number of rotated coordinates that are sent."""
        return self.size if self.count is None else self.count

    @property
    def shape_nbits(self) -> int:
        return self._quantizer.nbits

    @property
    def _default_group(self) -> int:
        return max(1, range_bits(self.size))

    @cached_property
    def _quantizer(self) -> AdaptiveLevels:
        return self._quantizer_of(self.sent_count, self.group)

    def _quantizer_of(self, count: int, group: int) -> AdaptiveLevels:
        levels = UniformLevels(self.levels or _default_levels(group))
        return AdaptiveLevels(self.size, count, group, levels)

    # ---- variance ------------------------------------------------------------------------------------------

    def variance(self, norm: float = 1.0) -> float:
        return self._gain.largest_error(norm, norm, norm, lambda gain, scale: self._noise(gain, scale * norm))

    def _noise(self, gain: float, norm: float) -> float:
        stretch = self.size / self.sent_count
        # By the proof, and not above what it would be with the last range everywhere.
        squares = min(9 + 3 * math.log(self.group), self.size)
        rounding = self._noise_kept * squares / (self.levels - 1) ** 2
        return stretch * rounding * gain**2 + (stretch - 1) * norm**2

    @property
    def _noise_kept(self) -> float:
        """The share of the rotated coordinates' noise that is left when the padding is cut off."""
        return self.dim / self.size if self.rounds == 1 else 1.0

    def variance_given(self, x: NDArray[np.floating], shared: int) -> float:
        """The exact E|decode(encode(x)) - x|^2 of a vector [dim] for one rotation: one round, all coordinates.

        Raises:
            NotImplementedError: several rounds, or a subset of the coordinates.
        """
        if self.rounds != 1 or self.count is not None:
            raise NotImplementedError("a closed form is known for one round and all coordinates")
        y = self._rotation(shared).apply(x.astype(np.float64))
        norm = float(np.linalg.norm(y))

        def noise(gain: float, scale: float) -> float:
            variances = self._quantizer.variances(y * (scale / gain)) if gain else np.zeros(1)
            return self._noise_kept * gain**2 * float(variances.sum())

        return self._gain.error(norm, norm, noise)

    # ---- hooks ---------------------------------------------------------------------------------------------

    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        return NormEstimate(vector.norm_bound, vector.norm_bound)

    def _rotation(self, shared: int) -> Rotation:
        return Rotation(self.dim, self.rounds, shared)

    def _subset(self, shared: int) -> I64:
        return random_subset(self.size, self.sent_count, shared)

    def _rotated(self, unit: GradientVector, shared: int) -> Array:
        """The rotated coordinates that are sent [sent_count], before the unit's factor."""
        y = self._rotation(shared).apply(unit.working_values)
        return y if self.count is None else y[like(self._subset(shared), y)]

    def _draw_shape(self, unit: GradientVector, coins: Coins, shared: int) -> AdaptiveSymbols:
        return self._quantizer.draw(self._rotated(unit, shared), unit.factor, coins)

    def _shape_law(self, unit: GradientVector, shared: int) -> Iterator[tuple[AdaptiveSymbols, float]]:
        return self._quantizer.law(to_host(self._rotated(unit, shared)) * unit.factor)

    def _write_shape(self, shape: AdaptiveSymbols, out: BitWriter) -> None:
        self._quantizer.write(shape, out)

    def _read_shape(self, bits: BitReader) -> AdaptiveSymbols:
        return self._quantizer.read(bits)

    def _decode_shape(self, shape: AdaptiveSymbols, gain: float, shared: int) -> F64:
        y = self._quantizer.values(shape)
        y *= gain * (self.size / self.sent_count)
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


def _default_levels(group: int) -> int:
    """[R]'s k: log2(k + 1) = ceil log2(2 + sqrt(9 + 3 ln s))."""
    return (1 << math.ceil(math.log2(2 + math.sqrt(9 + 3 * math.log(group))))) - 1
