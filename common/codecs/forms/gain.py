"""Gains: how the length of a gradient crosses the wire, beside a shape from a unit ball.

``exact`` sends the norm itself as a float32 (32 bits). ``bound(B)`` sends nothing: gradients are clipped to
the public bound B and quantized relative to it, which is what privacy needs (a data-dependent header has no
finite epsilon, theory 1.3).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64
from gradwire.common.errors import DomainError, PayloadError, SpecError
from gradwire.common.randomness import Coins
from gradwire.common.registry import Registry
from gradwire.common.spec import Spec, spelled

FLOAT32_MAX = float(np.finfo(np.float32).max)
FLOAT32_TINY = float(np.finfo(np.float32).tiny)


def round_up_float32(value: float) -> float:
    """The least float32 that is not below ``value``.

    Raises:
        DomainError: the value is beyond float32.
    """
    if value > FLOAT32_MAX:
        raise DomainError(f"the gradient's norm {value:.3g} is beyond float32: scale the loss down")
    near = np.float32(value)
    # As Python floats: NumPy would round ``value`` to float32 before it compares.
    return float(near if float(near) >= value else np.nextafter(near, np.float32(np.inf)))


class Length(NamedTuple):
    """How long a gradient is, in the norm of the shape's ball.

    Attributes:
        near: the length to within float32 sums; x / near lies in the shape's hull.
        certain: a number that the length certainly does not exceed, a few parts in 10^5 above it at most.
    """

    near: float
    certain: float


class Choice(NamedTuple):
    """One way to send a length: the decoder multiplies by ``gain``; the encoder quantizes ``scale * x / gain``."""

    gain: float
    scale: float
    probability: float


@dataclass(frozen=True)
class Gain(ABC):
    """One way to send a length."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def nbits(self) -> int:
        """Its share of the payload, in bits."""

    @abstractmethod
    def law(self, length: Length) -> tuple[Choice, ...]:
        """The exact law of what a gradient of that length is sent with."""

    def choose(self, length: Length, coins: Coins) -> Choice:
        """Draw from the law; coins are spent only where there is a choice."""
        choices = self.law(length)
        if len(choices) == 1:
            return choices[0]
        edges = np.cumsum([c.probability for c in choices])
        at = np.searchsorted(edges[:-1], coins.uniforms(1)[0], side="right")
        return choices[int(at)]

    @abstractmethod
    def write(self, gain: float, out: BitWriter) -> None:
        """Append the gain, ``nbits`` bits."""

    @abstractmethod
    def read(self, bits: BitReader) -> F64:
        """Read a gain back: float64 [], or one a payload where the reader has a batch.

        Raises:
            PayloadError: a value that ``law`` never gives.
        """

    def stated(self, length: float) -> tuple[Choice, ...]:
        """The law of a length in closed forms: before it is rounded to what the wire holds."""
        return self.law(Length(length, length))

    def average(self, length: float, error: Callable[[float, float], float]) -> float:
        """The mean of ``error(gain, scale)`` over what a gradient of that length is sent with.

        A family states E|decode(encode(x)) - x|^2 by it: given the choice, decoded vectors have the mean scale * x, so
        ``error`` is the noise around that at this gain, plus |(1 - scale) x|^2.
        """
        return math.fsum(c.probability * error(c.gain, c.scale) for c in self.stated(length))

    def largest(self, shortest: float, longest: float, error: Callable[[float, float], float]) -> float:
        """The largest ``average`` over an interval of lengths; at its end, for errors that grow with the gain.

        What ``variance`` is stated by; an interval of one length is widened by rounding where that matters.
        """
        return self.average(longest, error)

    @cached_property
    def spec(self) -> Spec:
        """The canonical spec."""
        return Spec(self.name, (), tuple(spelled(self).items()))


GAINS: Registry[Gain] = Registry("gain")
register_gain = GAINS.register


@register_gain
@dataclass(frozen=True)
class Exact(Gain):
    """The length as a float32, rounded up so that the shape stays in its ball: 32 bits, no clipping, no privacy."""

    name = "exact"
    nbits = 32

    def law(self, length: Length) -> tuple[Choice, ...]:
        return (Choice(round_up_float32(length.near), 1.0, 1.0),)

    def write(self, gain: float, out: BitWriter) -> None:
        out.write_float32(gain)

    def read(self, bits: BitReader) -> F64:
        gain = bits.read_float32()
        if np.signbit(gain).any():
            raise PayloadError(f"the gain is {gain.min()}, expected a non-negative float32: it is corrupt")
        return gain

    def stated(self, length: float) -> tuple[Choice, ...]:
        return (Choice(length, 1.0, 1.0),)


@register_gain
@dataclass(frozen=True)
class Bound(Gain):
    """A public bound: longer gradients are clipped to it, and no bit about the length is sent.

    Unbiased for the clipped gradient x * min(1, bound / |x|). Where float32 sums leave the length uncertain,
    a gradient may be clipped up to one part in 30,000 below the bound, never above it.
    """

    bound: float

    name = "bound"
    nbits = 0

    def __post_init__(self) -> None:
        if not FLOAT32_TINY <= self.bound <= FLOAT32_MAX:
            raise SpecError(
                f"the bound is {self.bound}, expected a length that float32 holds: 1.2e-38 to 3.4e38"
            )

    def law(self, length: Length) -> tuple[Choice, ...]:
        return (
            Choice(self.bound, min(1.0, self.bound / length.certain) if length.certain > 0 else 1.0, 1.0),
        )

    def write(self, gain: float, out: BitWriter) -> None:
        """Nothing: the bound is public."""

    def read(self, bits: BitReader) -> F64:
        return np.asarray(self.bound)


def build_gain(spec: Spec) -> Gain:
    """A gain from its spec: ``exact`` or ``bound(1.0)``.

    Raises:
        SpecError: unknown name or bad argument.
    """
    return GAINS.build(spec)
