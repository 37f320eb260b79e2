"""Means of the largest coordinates of a random direction: the scales of codecs that send nearest vertices.

A decoder multiplies by these numbers, so every machine must have the same bits: all of it is + - * / and square roots,
which IEEE 754 fixes, and the correctly rounded exp and ln of ``logarithms``. Quadrature is by the trapezoidal rule,
whose error for a smooth bell is far below float64's own.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from functools import lru_cache
from typing import NamedTuple

from gradwire.common.arrays.logarithms import exp, ln

_SQRT_2_OVER_PI = 0.7978845608028654
_FINE = Context(prec=50)
_SMALL = 64  # dimensions below which Stirling's series would not do
# E|G| / sqrt(d) as a series in 1 / d, from that of Gamma(d / 2 + 1 / 2) / Gamma(d / 2).
_NORM_SERIES = (1, -1 / 4, 1 / 32, 5 / 128, -21 / 2048, -399 / 8192, 869 / 65536, 39325 / 262144)
_NEGLIGIBLE = 45.0  # -ln of a weight that float64 does not notice beside 1
_EXACTLY = 12  # counts below which the normal limit is not trusted
_STEPS = 8  # nodes in the distance at which the bell falls by half a neper


@lru_cache(maxsize=256)
def largest_on_sphere(count: int, among: int, dim: int) -> float:
    """E of the sum of the ``count`` largest |u_i| among ``among`` coordinates of a random unit vector u in R^dim.

    A Gaussian vector's direction is uniform and independent of its length, so this is the same mean for normal
    variables, over their mean length.

    >>> largest_on_sphere(1, 1, 1), round(largest_on_sphere(1, 2, 2) ** 2, 6)
    (1.0, 0.810569)
    """
    return largest_normals(count, among) / mean_length(dim)


def mean_length(dim: int) -> float:
    """E|G| = sqrt 2 Gamma((d + 1) / 2) / Gamma(d / 2) for G of ``dim`` independent standard normals.

    >>> mean_length(1) == mean_length(3) / 2
    True
    """
    if dim < _SMALL:
        start = 2 - dim % 2
        length = _SQRT_2_OVER_PI if start == 1 else 1 / _SQRT_2_OVER_PI
        for d in range(start, dim, 2):
            length *= (d + 1) / d
        return length
    series = 0.0
    for coefficient in reversed(_NORM_SERIES):
        series = series / dim + coefficient
    return math.sqrt(dim) * series


@lru_cache(maxsize=256)
def largest_normals(count: int, among: int) -> float:
    """E of the sum of the ``count`` largest magnitudes among ``among`` independent standard normals.

    The tail mass Q of the (count + 1)-th largest has the law Beta(count + 1, among - count), and given it the ``count``
    above are independent, beyond t(Q). So the mean is count E[1 / M(t)], with M = Q / (2 phi) Mills' ratio.

    >>> round(largest_normals(1, 1024), 6), round(largest_normals(7, 7), 6)
    (3.44187, 5.585192)
    """
    return count * _SQRT_2_OVER_PI if count == among else count * _means(count, among).magnitude


def largest_squares_on_sphere(count: int, among: int, dim: int) -> float:
    """E of the sum of squares of the ``count`` largest |u_i|, as ``largest_on_sphere``; the square of a length is dim.

    >>> largest_squares_on_sphere(5, 5, 5), round(largest_squares_on_sphere(1, 2, 2), 6)
    (1.0, 0.81831)
    """
    return (count if count == among else count * _means(count, among).square) / dim


def largest_spread_on_sphere(count: int, among: int, dim: int) -> float:
    """Var T / (E T)^2 of the sum T of the ``count`` largest |u_i|, as ``largest_on_sphere``.

    Given t the magnitudes are independent, so the square of their sum is on average that of one, ``count`` times, and
    the square of their mean, ``count`` (``count`` - 1) times.

    >>> round(largest_spread_on_sphere(1, 2, 2), 6), round(largest_spread_on_sphere(1219, 65_536, 65_536) ** 0.5, 5)
    (0.009549, 0.00397)
    """
    one = count == among
    means = _Means(_SQRT_2_OVER_PI, 1.0, _SQRT_2_OVER_PI**2) if one else _means(count, among)
    square = (count * means.square + count * (count - 1) * means.product) / dim
    return max(0.0, square / largest_on_sphere(count, among, dim) ** 2 - 1)


class _Means(NamedTuple):
    """Of the largest magnitudes: the mean of one, of the square of one, and of the product of two."""

    magnitude: float
    square: float
    product: float


@lru_cache(maxsize=256)
def _means(count: int, among: int) -> _Means:
    """Given t, the mean magnitude is 1 / M(t), the mean square 1 + t / M(t), and the mean product 1 / M(t)^2."""
    peak = _peak(count, among)
    top, step = _bell(peak, count, among)[0], _half_neper(peak, count, among) / _STEPS
    mass = moment = square = product = 0.0
    for direction in (1, -1):
        node = 0 if direction == 1 else 1
        while True:
            y = peak + direction * node * step
            log_weight, mills = _bell(y, count, among)
            if top - log_weight > _NEGLIGIBLE:
                break
            weight = exp(log_weight - top)
            mass += weight
            moment += weight / mills
            square += weight * (1 + exp(y) / mills)
            product += weight / mills**2
            node += 1
    return _Means(moment / mass, square / mass, product / mass)


def best_count(odds: float, among: int) -> int:
    """How many of the largest to favour: the w that nearly maximises (odds - 1) T_w / (w (odds - 1) + 2 among).

    T_w is the mean of their sum. For many coordinates w is ``among`` times P(|N| > t), T_w ``among`` times 2 phi(t),
    and the maximum is where t = (odds - 1) phi(t) (1 - t M(t)); below ``_EXACTLY``, where that is too coarse,
    neighbours are compared.

    >>> best_count(2.718281828, 1024), best_count(2980.0, 1024)
    (708, 7)
    """
    low, high = 0.0, 12.0
    for _ in range(64):
        t = (low + high) / 2
        density, mills, _ = _beyond(t)
        low, high = (low, t) if t > (odds - 1) * density / 2 * (1 - t * mills) else (t, high)
    density, mills, _ = _beyond(high)
    count = min(among, max(1, round(among * density * mills)))
    while count <= _EXACTLY:
        nearby = [n for n in (count, count - 1, count + 1) if 1 <= n <= among]
        best = max(nearby, key=lambda n: largest_normals(n, among) / (n * (odds - 1) + 2 * among))
        if best == count:
            break
        count = best
    return count


def _beyond(t: float) -> tuple[float, float, float]:
    """The density 2 phi(t) of |N|, Mills' ratio, and ln P(|N| <= t)."""
    density = 2 * _normal_density(t)
    if t < 1.5:
        inside = density * _series(t)
        return density, (1 - inside) / density, ln(inside) if inside > 0 else -math.inf
    mills = _continued_fraction(t)
    outside = _FINE.multiply(Decimal(density), Decimal(mills))
    return density, mills, float(_FINE.ln(_FINE.subtract(Decimal(1), outside)))


def _bell(y: float, count: int, among: int) -> tuple[float, float]:
    """At t = e^y: ln of the density of y, up to a constant, and Mills' ratio."""
    t = exp(y)
    _, mills, log_inside = _beyond(t)
    log_density = ln(_SQRT_2_OVER_PI) - t * t / 2
    return count * (log_density + ln(mills)) + (among - count - 1) * log_inside + log_density + y, mills


def _normal_density(t: float) -> float:
    return _SQRT_2_OVER_PI / 2 * exp(-t * t / 2)


def _series(t: float) -> float:
    """P(|N| <= t) over twice the density at t: the sum of t^(2n + 1) / (2n + 1)!!."""
    term = total = t
    for odd in range(3, 99, 2):
        term *= t * t / odd
        total += term
    return total


def _continued_fraction(t: float) -> float:
    """Mills' ratio 1 / (t + 1 / (t + 2 / (t + 3 / …))), for t from 1.5 on."""
    value = t
    for n in range(120, 0, -1):
        value = t + n / value
    return 1 / value


def _peak(count: int, among: int) -> float:
    """The mode of the log-density, by golden-section search."""
    low, high, ratio = -45.0, 4.0, (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = (_bell(y, count, among)[0] for y in (left, right))
    for _ in range(64):
        if at_left > at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = _bell(left, count, among)[0]
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = _bell(right, count, among)[0]
    return (low + high) / 2


def _half_neper(peak: float, count: int, among: int) -> float:
    """The distance above the peak at which the log-density has fallen by 1/2, by bisection."""
    top, low, high = _bell(peak, count, among)[0], 0.0, 8.0
    for _ in range(48):
        middle = (low + high) / 2
        fallen = top - _bell(peak + middle, count, among)[0] > 0.5
        low, high = (low, middle) if fallen else (middle, high)
    return high
