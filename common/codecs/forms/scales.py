"""Norms and scales as float32: how they are rounded, checked and read."""

from __future__ import annotations

import numpy as np

from gradwire.common.arrays.bits import BitReader
from gradwire.common.errors import DomainError, PayloadError
from gradwire.common.randomness import Coins

FLOAT32_MAX = float(np.finfo(np.float32).max)
FLOAT32_TINY = float(np.finfo(np.float32).tiny)


def within_float32(value: float) -> float:
    """The value itself.

    Raises:
        DomainError: its magnitude is beyond float32.
    """
    if not abs(value) <= FLOAT32_MAX:
        raise DomainError(f"the gradient holds {value:.3g}, beyond float32: scale the loss down")
    return value


def nearest_float32(value: float) -> float:
    """The nearest float32.

    Raises:
        DomainError: the value is beyond float32.
    """
    return float(np.float32(within_float32(value)))


def float32_law(value: float) -> tuple[tuple[float, float], ...]:
    """The float32 next to a value, with the probabilities that make it their mean: two, or the value itself.

    Exact for values from 2^-126 on: they are multiples of 2^-29 of the distance of their neighbours.

    Args:
        value: from 0 on.

    Raises:
        DomainError: the value is beyond float32.
    """
    near = np.float32(within_float32(value))
    low = near if float(near) <= value else np.nextafter(near, np.float32(-np.inf))
    if float(low) == value:
        return ((value, 1.0),)
    high = float(np.nextafter(low, np.float32(np.inf)))
    above = (value - float(low)) / (high - float(low))
    return (float(low), 1 - above), (high, above)


def random_float32(value: float, coins: Coins) -> float:
    """A float32 next to a value from 0 on, drawn by ``float32_law``; takes one uniform in every case.

    Raises:
        DomainError: the value is beyond float32.
    """
    law, uniform = float32_law(value), coins.uniforms(1)[0]
    return law[-1][0] if uniform < law[-1][1] else law[0][0]


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


def read_magnitude(bits: BitReader, what: str) -> float:
    """The next float32, which no encoder makes negative.

    Raises:
        PayloadError: negative, negative zero, NaN or infinite; the message begins with ``what``.
    """
    value = float(bits.read_float32())
    if np.signbit(value):
        raise PayloadError(f"{what} is {value}, expected a non-negative float32: the payload is corrupt")
    return value
