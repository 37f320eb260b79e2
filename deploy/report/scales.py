"""From values to places in a picture: the range of an axis, linear or logarithmic, and its ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from gradwire.deploy.report.ticks import Ticks, linear_ticks, log_ticks

LARGEST = 1e100  # larger values are drawn no more than infinite ones: what is computed with them stays finite
SMALLEST = 1e-100  # of a logarithmic axis


@dataclass(frozen=True)
class Scale:
    """One axis.

    Attributes:
        low, high: the values at its ends.
        start, end: their places.
        log: whether it is logarithmic.
        whole: whether its values are integers.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False

    def at(self, value: float) -> float:
        """The place of a value; one beyond an end is placed at that end."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, self.kept(value)))
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    def kept(self, value: float) -> float:
        """The value, or the end that it lies beyond."""
        return min(self.high, max(self.low, value))

    def ticks(self, most: int) -> Ticks:
        """At most so many ticks."""
        if self.log:
            return log_ticks(self.low, self.high, most)
        return linear_ticks(self.low, self.high, most, whole=self.whole)


def drawable(value: float | None, *, log: bool) -> bool:
    """Whether an axis has a place for a value: it is finite, and positive where the axis is logarithmic."""
    if value is None or not abs(value) <= LARGEST:
        return False
    return value >= SMALLEST if log else True


def range_of(
    values: Iterable[float | None], *, log: bool, zero: bool = False, margin: float = 0.05
) -> tuple[float, float]:
    """The ends of an axis that has all values.

    Args:
        values: those that cannot be drawn are left out.
        log: whether the axis is logarithmic.
        zero: whether the axis begins at zero, or one power of ten lower where it is logarithmic.
        margin: free space at both ends, in parts of the range; none at zero.
    """
    found = [float(value) for value in values if value is not None and drawable(value, log=log)]
    if log:
        return _log_range(found or [1.0], margin, bars=zero)
    low, high = min(found, default=0.0), max(found, default=1.0)
    if zero or (found and 0 < low < 0.1 * high):
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        spread = 0.5 * abs(high) or 0.5
        return low - spread, high + spread
    extra = margin * (high - low)
    return (low - extra if low else 0.0), (high + extra if high else 0.0)


def _log_range(found: list[float], margin: float, *, bars: bool) -> tuple[float, float]:
    low, high = math.log10(min(found)), math.log10(max(found))
    if bars:
        low = math.floor(low - 0.3)
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    extra = margin * (high - low)
    return 10.0 ** (low - (0 if bars else extra)), 10.0 ** (high + extra)
