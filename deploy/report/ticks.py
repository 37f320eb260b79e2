"""Where an axis has its ticks, and their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MANTISSAS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7))
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Ticks:
    """Ticks of one axis, in ascending order.

    Attributes:
        values: of labelled ticks.
        labels: as many.
        minor: values of the ticks between them, without labels.
    """

    values: Sequence[float]
    labels: Sequence[str]
    minor: Sequence[float] = ()


def linear_ticks(low: float, high: float, most: int, *, whole: bool = False) -> Ticks:
    """Ticks at multiples of 1, 2, 2.5 or 5 times a power of ten.

    Args:
        low: first value of the axis.
        high: last value, above ``low``.
        most: number of ticks that is not exceeded, at least 2.
        whole: whether the axis has integers alone.
    """
    step = _step((high - low) / most, whole=whole)
    slack = 1e-9 * (high - low)  # a bound that is a multiple but for rounding keeps its tick
    first, last = math.ceil((low - slack) / step), math.floor((high + slack) / step)
    values = [k * step for k in range(first, last + 1)]
    return Ticks(values, _linear_labels(values, step))


def _step(least: float, *, whole: bool) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    step = next(s * power for s in _STEPS if s * power >= least * (1 - 1e-9))
    return max(1.0, math.ceil(step)) if whole and not step.is_integer() else step


def log_ticks(low: float, high: float, most: int) -> Ticks:
    """Ticks at powers of ten, or between them where the axis spans few; multiples of a step where it spans none.

    Args:
        low: first value of the axis, positive.
        high: last value, above ``low``.
        most: number of ticks that is not exceeded, at least 2.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for mantissas in _MANTISSAS:
        values = [m * 10.0**e for e in range(first, last + 1) for m in mantissas]
        values = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(values) >= 3 or (len(values) == 2 and len(mantissas) > 1):
            break
    else:
        return linear_ticks(low, high, most)
    kept = values[:: -(-len(values) // most)] if len(mantissas) == 1 else _sparse(values, most)
    minor = [m * 10.0**e for e in range(first, last + 1) for m in range(1, 10)] if last - first < 12 else []
    between = [value for value in minor if low <= value <= high and value not in kept]
    return Ticks(kept, [power_label(value) for value in kept], between)


def _sparse(values: list[float], most: int) -> list[float]:
    """All of them, or those with the mantissas 1 and 3 to 5 at most."""
    return values if len(values) <= most else values[:: -(-len(values) // most)]


def power_label(value: float) -> str:
    """A tick's label on a logarithmic axis: plain digits from 0.001 to 9,999, else a power of ten."""
    if 1e-3 <= value < 1e4:
        return f"{value:,.10g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    mantissa = f"{value / 10.0**exponent:.3g}"
    power = f"10{str(exponent).translate(_SUPERSCRIPTS)}"
    return power if mantissa == "1" else f"{mantissa}×{power}"


def _linear_labels(values: Sequence[float], step: float) -> list[str]:
    """Labels with as many decimals as the step has, of one unit."""
    largest = max(map(abs, values), default=0.0)
    if 0 < largest < 1e-3 or largest >= 1e15:
        return _scientific(values, step, largest)
    unit, suffix = next(((u, s) for u, s in _UNITS if largest >= max(u, 1e4)), (1.0, ""))
    if _decimals(step / unit) > 3:
        unit, suffix = 1.0, ""
    decimals = _decimals(step / unit)
    return [f"{value / unit:,.{decimals}f}{suffix if value else ''}" for value in _signed(values)]


def _signed(values: Sequence[float]) -> list[float]:
    """Without negative zeros."""
    return [value + 0.0 for value in values]


def _decimals(step: float) -> int:
    """Digits after the point that tell multiples of the step apart."""
    exponent = math.floor(math.log10(step) + 1e-9)
    odd = abs(step / 10.0**exponent - 2.5) < 1e-6
    return max(0, -exponent + (1 if odd else 0))


def _scientific(values: Sequence[float], step: float, largest: float) -> list[str]:
    """Labels with the power of ten of the largest."""
    exponent = math.floor(math.log10(largest) + 1e-9)
    unit = 10.0**exponent
    power = f"×10{str(exponent).translate(_SUPERSCRIPTS)}"
    return [f"{value / unit:.{_decimals(step / unit)}f}{power}" if value else "0" for value in values]
