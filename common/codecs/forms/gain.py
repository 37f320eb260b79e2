"""Gains: how the norm of a gradient is sent, beside a shape in a unit ball.

``exact`` sends the norm as a float32 (32 bits). ``bound(B)`` sends nothing: gradients are clipped to the public bound B
and quantized relative to it, as privacy requires, because a header that depends on the data has no finite epsilon
(theory 1.3). ``aguq`` sends a random range and level.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64
from gradwire.common.codecs.forms.scales import FLOAT32_MAX, FLOAT32_TINY, round_up_float32
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import PayloadError, SpecError
from gradwire.common.randomness import Coins
from gradwire.common.registry import Registry
from gradwire.common.spec import Spec, spec_of

# E|decode(encode(x)) - scale * x|^2 by the gain and the scale that a gradient is sent with.
NoiseAt = Callable[[float, float], float]


class NormEstimate(NamedTuple):
    """The norm of a gradient, in which the shape's ball is the unit ball.

    Attributes:
        value: the norm to the accuracy of float32 sums; x / value lies in the shape's hull.
        upper_bound: at least the norm, and at most a few parts in 10^5 above it.
    """

    value: float
    upper_bound: float

    @classmethod
    def l2(cls, vector: GradientVector, at_least: float) -> NormEstimate:
        """The l2 norm of a gradient, raised to what keeps x / value in the hull."""
        return cls(max(vector.norm, at_least), max(vector.norm_bound, at_least))


class GainOutcome(NamedTuple):
    """One way in which a norm is sent: the decoder multiplies by ``gain``, the encoder quantizes scale * x / gain."""

    gain: float
    scale: float
    probability: float

    def into_ball(self, vector: GradientVector) -> GradientVector:
        """The vector in the unit ball that is quantized."""
        return vector.scaled(self.scale / self.gain if self.gain > 0 else 0.0)


def mean_squared_error(outcomes: Iterable[GainOutcome], l2_norm: float, noise: NoiseAt) -> float:
    """E|decode(encode(x)) - x|^2 of a gradient that is sent in one of these ways.

    Given the outcome, decoded vectors have the mean scale * x, so clipping adds |(1 - scale) x|^2 to the noise.

    Args:
        outcomes: with probabilities that add up to 1.
        l2_norm: |x|.
        noise: E|decode(encode(x)) - scale * x|^2 by gain and scale.
    """
    return math.fsum(
        o.probability * (noise(o.gain, o.scale) + ((1 - o.scale) * l2_norm) ** 2) for o in outcomes
    )


@dataclass(frozen=True)
class Gain(ABC):
    """One way to send a norm; ``nbits`` is its share of the payload, in bits."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def nbits(self) -> int:
        """Exact length in bits."""

    @abstractmethod
    def law(self, norm: NormEstimate) -> tuple[GainOutcome, ...]:
        """The exact law of what a gradient of that norm is sent with."""

    def draw(self, norm: NormEstimate, coins: Coins) -> GainOutcome:
        """Draw from the law; coins are used only where it has several outcomes."""
        outcomes = self.law(norm)
        if len(outcomes) == 1:
            return outcomes[0]
        edges = np.cumsum([o.probability for o in outcomes])
        at = np.searchsorted(edges[:-1], coins.uniforms(1)[0], side="right")
        return outcomes[int(at)]

    @abstractmethod
    def write(self, gain: float, out: BitWriter) -> None:
        """Append the gain, ``nbits`` bits."""

    @abstractmethod
    def read(self, bits: BitReader) -> F64:
        """Read a gain: float64 [], or one per payload where the reader holds a batch.

        Raises:
            PayloadError: a value that ``law`` never gives.
        """

    def ideal_law(self, norm: float) -> tuple[GainOutcome, ...]:
        """The law for closed forms: without the rounding to what the payload holds."""
        return self.law(NormEstimate(norm, norm))

    def error(self, norm: float, l2_norm: float, noise: NoiseAt) -> float:
        """``mean_squared_error`` of a gradient with that norm, by ``ideal_law``: what families state."""
        return mean_squared_error(self.ideal_law(norm), l2_norm, noise)

    def largest_error(self, shortest: float, longest: float, l2_norm: float, noise: NoiseAt) -> float:
        """The largest ``error`` over an interval of norms: at its end, for noise that grows with the gain.

        Args:
            shortest: the least norm of a gradient with that l2 norm.
            longest: the largest one.
            l2_norm: |x|.
            noise: E|decode(encode(x)) - scale * x|^2 by gain and scale.
        """
        return self.error(longest, l2_norm, noise)

    @cached_property
    def spec(self) -> Spec:
        """The canonical spec."""
        return spec_of(self)


GAINS: Registry[Gain] = Registry("gain")
register_gain = GAINS.register


@register_gain
@dataclass(frozen=True)
class ExactGain(Gain):
    """The norm as a float32, rounded up so that the shape stays in its ball: 32 bits, no clipping, no privacy."""

    name = "exact"
    nbits = 32

    def law(self, norm: NormEstimate) -> tuple[GainOutcome, ...]:
        return (GainOutcome(round_up_float32(norm.value), 1.0, 1.0),)

    def write(self, gain: float, out: BitWriter) -> None:
        out.write_float32(gain)

    def read(self, bits: BitReader) -> F64:
        gain = bits.read_float32()
        if np.signbit(gain).any():
            raise PayloadError(f"the gain is {gain.min()}, expected a non-negative float32: it is corrupt")
        return gain

    def ideal_law(self, norm: float) -> tuple[GainOutcome, ...]:
        return (GainOutcome(norm, 1.0, 1.0),)


@register_gain
@dataclass(frozen=True)
class BoundGain(Gain):
    """A public bound: longer gradients are clipped to it, and nothing about the norm is sent.

    Unbiased for the clipped gradient x * min(1, bound / |x|). Where float32 sums leave the norm uncertain, a gradient
    may be clipped to up to one part in 30,000 below the bound, never above it.

    Raises:
        SpecError: the bound is not a positive normal float32.
    """

    bound: float

    name = "bound"
    nbits = 0

    def __post_init__(self) -> None:
        if not FLOAT32_TINY <= self.bound <= FLOAT32_MAX:
            raise SpecError(
                f"the bound is {self.bound}, expected a length that float32 holds: 1.2e-38 to 3.4e38"
            )

    def law(self, norm: NormEstimate) -> tuple[GainOutcome, ...]:
        scale = min(1.0, self.bound / norm.upper_bound) if norm.upper_bound > 0 else 1.0
        return (GainOutcome(self.bound, scale, 1.0),)

    def write(self, gain: float, out: BitWriter) -> None:
        """Nothing: the bound is public."""

    def read(self, bits: BitReader) -> F64:
        return np.asarray(self.bound)


def build_gain(spec: Spec) -> Gain:
    """A gain from its spec: ``exact``, ``bound(1.0)`` or ``aguq(1.0, 1000)``.

    Raises:
        SpecError: unknown name or bad argument.
    """
    return GAINS.build(spec)
