"""Private schemes at equal epsilon: their codecs, the papers' formulas for their variances, and theory's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

DIMS, EPSILONS = (128, 1024), (1.0, 4.0, 8.0)
Formula = Callable[[int, float], float]


def _likeliest(d: int) -> float:
    """A: the largest probability of a cross-polytope's vertex."""
    return (1 - 1 / (2 * d)) / math.sqrt(d) + 1 / (2 * d)


def _nominal(d: int, e: float) -> float:
    return d * ((math.exp(e) + 2 * d - 1) / math.expm1(e)) ** 2 - 1


def _exact(d: int, e: float) -> float:
    return d * (1 + 2 * d * _likeliest(d) / math.expm1(e)) ** 2 - 1


def _rappor(d: int, e: float) -> float:
    t = math.exp(e / 2)
    return d - 1 + 2 * d * d * t / (t - 1) ** 2


def _oue(d: int, e: float) -> float:
    q = 1 / (math.exp(e) + 1)
    return d - 1 + d * (0.25 + (2 * d - 1) * q * (1 - q)) / (0.5 - q) ** 2


def _subset(d: int, e: float) -> float:
    """Ye and Barg's: w of K = 2d, p and q the chances of the true index and of another."""
    k, w = 2 * d, max(1, round(2 * d / (math.exp(e) + 1)))
    p = w * math.exp(e) / (w * math.exp(e) + k - w)
    q = (w - p) / (k - 1)
    both = p * (w - 1) / (k - 1)
    others = (p * (w - 1) * (w - 2) + (1 - p) * w * (w - 1)) / ((k - 1) * (k - 2))
    square = p + q * (k - 1) - 2 * both + others * (2 - k)  # E|sum of the named|^2 / d, opposites cancelling
    return d * square / (p - q) ** 2 - 1


def _hadamard(d: int, e: float) -> float:
    return (d / math.tanh(e / 2)) ** 2 - 1


def _mean_coordinate(d: int) -> float:
    """E|u_1| of a random unit vector."""
    return math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)


def _hyperplane(d: int, e: float) -> float:
    return 1 / (math.tanh(e / 2) * _mean_coordinate(d)) ** 2 - 1


def _top(d: int, e: float) -> float:
    """1 / m^2 - 1 for the best w, which has the largest m: up to there m grows with w, beyond it falls."""
    low, high = 1, d
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if _mean(d, e, middle + 1) > _mean(d, e, middle) else (low, middle)
    return 1 / _mean(d, e, low) ** 2 - 1


def _mean(d: int, e: float, w: int) -> float:
    """The mean m for w: the sum of the w largest |normal| is the integral of E min(w, B), B of d binomially above t."""
    from scipy import integrate, special

    t = np.linspace(0, 9, 1801)
    p = special.erfc(t / math.sqrt(2))
    least = special.betainc(w, d - w + 1, p)  # P(B >= w)
    below = special.betainc(w - 1, d - w + 1, p) if w > 1 else np.ones_like(p)  # of d - 1: P(w - 1 or more)
    above = d * p * (1 - below) + w * least
    length = math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))
    sum_ = float(integrate.simpson(above, x=t)) / length
    return math.expm1(e) * sum_ / (w * math.expm1(e) + 2 * d)


def privunit(d: int, e: float) -> float:
    """PrivUnit with its best cap ([PrivUnit]; no mechanism is better [AFT])."""
    from scipy import special

    cap = np.linspace(0.001, 1, 6000)[:-1] ** 2
    a = (d - 1) / 2
    tail = special.betainc(a, 0.5, 1 - cap**2) / 2
    # Beta(a, 1/2) by logarithms of gamma, and its factor with them: either alone would overflow
    beta = math.lgamma(a) + math.lgamma(0.5) - math.lgamma(a + 0.5)
    inside = np.exp(a * np.log1p(-(cap**2)) - beta) / (d - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = math.exp(e) * tail / (1 + math.expm1(e) * tail)
        mean = p * inside / tail - (1 - p) * inside / (1 - tail)
    return float(1 / np.nanmax(mean[tail > 1e-290]) ** 2 - 1)


@dataclass(frozen=True)
class Row:
    """A scheme: its codec's spec for {e}, the formula for (d, epsilon), and theory's numbers for both dimensions."""

    title: str
    spec: str | None
    formula: Formula
    theory: tuple[str, str]


ROWS = (
    Row(
        "cross-polytope, rr, nominal epsilon (vqSGD)",
        "private(rr({e}, nominal=true))",
        _nominal,
        ("2.88e6 / 4270 / 150", "1.46e9 / 1.57e6 / 2914"),
    ),
    Row(
        "cross-polytope, rr, exact epsilon",
        "private(rr({e}))",
        _exact,
        ("27655 / 264 / 129", "1.54e6 / 5010 / 1068"),
    ),
    Row(
        "cross-polytope, RAPPOR (vqSGD)",
        "private(rappor({e}))",
        _rappor,
        ("1.29e5 / 6059 / 750", "8.2e6 / 3.8e5 / 40880"),
    ),
    Row(
        "cross-polytope, OUE",
        "private(oue({e}))",
        _oue,
        ("1.21e5 / 2746 / 299", "7.7e6 / 1.6e5 / 4863"),
    ),
    Row(
        "cross-polytope, subset selection, nominal",
        "private(subset_selection({e}, nominal=true))",
        _subset,
        ("1.20e5 / 2485 / 150", "7.7e6 / 1.6e5 / 2914"),
    ),
    Row(
        "Hadamard set, kappa = coth(epsilon / 2)",
        "private(rr({e}), hadamard(1))",
        _hadamard,
        ("76720 / 17629 / 16405", "4.9e6 / 1.1e6 / 1.05e6"),
    ),
    Row(
        "random hyperplane, one bit",
        "private_top({e}, axes=1)",
        _hyperplane,
        ("937 / 215 / 200", "7527 / 1729 / 1609"),
    ),
    Row(
        "rotated cross-polytope, private top",
        "private_top({e})",
        _top,
        ("808 / 54.9 / 17.7", "6482 / 445 / 138"),
    ),
    Row("PrivUnit (the reference, by formula)", None, privunit, ("807 / 55.0 / 16.5", "6478 / 445 / 136")),
)
