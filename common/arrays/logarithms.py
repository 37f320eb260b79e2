"""Logarithms of huge counts, the same digits on every machine: code lengths follow from them.

The caller's decimal context is never used. The decimal module rounds ln
and exp correctly to any number of digits; a C library's may differ in the last bit, and then two machines would
disagree about the length of a payload.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal, localcontext
from fractions import Fraction
from math import comb

_DIGITS = 60
_CONTEXT = Context(prec=_DIGITS)
# Digits that decide a float64's rounding in all but one of a hundred million cases
_DOUBLE = Context(prec=25)
_LEAST = 64  # arguments from which Stirling's series does
# B_2k / (2k (2k - 1)): the terms below leave 10^-29.
_STIRLING = (
    (1, 12), (-1, 360), (1, 1260), (-1, 1680), (1, 1188), (-691, 360360), (1, 156), (-3617, 122400), (43867,
    244188),
)  # fmt: skip
_LN_2 = Decimal(2).ln(_CONTEXT)
_HALF_LN_2PI = Decimal("0.918938533204672741780329736405617639861397473637783412817152")


def exp(x: float) -> float:
    """e^x, rounded from 25 correct digits: the same bits on every machine."""
    return float(Decimal(x).exp(_DOUBLE))


def exp_fraction(x: float) -> Fraction:
    """e^x to 25 digits, as a fraction for further exact arithmetic; for x from -100 to 100."""
    return Fraction(Decimal(x).exp(_DOUBLE))


def ln(x: float) -> float:
    """The natural logarithm for x > 0, rounded from 25 correct digits: the same bits on every machine."""
    return float(Decimal(x).ln(_DOUBLE))


def log2(x: int, over: int = 1) -> Decimal:
    """The logarithm of x / over to base 2, to about 58 digits; for integers from 1 on."""
    with localcontext(_CONTEXT):
        return (Decimal(x).ln() - Decimal(over).ln()) / _LN_2


def log2_power(base: int, exponent: int) -> Decimal:
    """log2(base^exponent), to about 50 digits."""
    with localcontext(_CONTEXT):
        return exponent * Decimal(base).ln() / _LN_2


def log2_binomial(n: int, k: int) -> Decimal:
    """log2 of the binomial coefficient, to an error below 10^-20.

    >>> round(log2_binomial(131072, 65536), 6)
    Decimal('131063.174249')
    """
    if min(k, n - k) < _LEAST:
        return log2(comb(n, k))
    with localcontext(_CONTEXT):
        return (_ln_factorial(n) - _ln_factorial(k) - _ln_factorial(n - k)) / _LN_2


def _ln_factorial(n: int) -> Decimal:
    """Stirling's series for ln n!."""
    x = Decimal(n)
    series = sum(Decimal(a) / b / x ** (2 * k + 1) for k, (a, b) in enumerate(_STIRLING))
    return (x + Decimal("0.5")) * x.ln() - x + _HALF_LN_2PI + series


def ceiling(*terms: Decimal) -> int:
    """The least integer that is not below the sum."""
    with localcontext(_CONTEXT):
        return int(sum(terms, Decimal(0)).to_integral_value(ROUND_CEILING))
