"""Epsilons and scales of all mechanisms from 1e-15 to 50, against exact fractions and 60-digit decimals."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gradwire.common.arrays.decisions import ROUNDING
from gradwire.common.arrays.largest import largest_on_sphere
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.rotations.private_top import PrivateTop
from gradwire.common.errors import SpecError
from gradwire.common.privacy.mechanisms.base import MECHANISMS
from gradwire.common.privacy.mechanisms.masses import Masses
from tests.common.codecs.law_checks import law_of
from tests.grids import looped

EPSILONS = [1e-15, 3e-14, 1e-12, 1e-9, 1e-6, 0.01, 0.5, 1.0, 4.0, 12.0, 20.0]
DIMS = [2, 3, 5]
LEAST_KEPT = 0.99  # of an epsilon: coins of 64 bits may take the rest


def decimal(x: Fraction) -> Decimal:
    return Decimal(x.numerator) / Decimal(x.denominator)


def log1p(x: Fraction) -> float:
    """ln(1 + x) by 60 digits: x is an exact fraction, so nothing cancels."""
    with localcontext() as context:
        context.prec = 60
        return float((1 + decimal(x)).ln())


def built(spec: str, dim: int) -> AnyCodec | None:
    """The codec, or None where it is refused because epsilon is too small for its coins."""
    try:
        return parse(spec, dim)
    except SpecError as error:
        message = str(error)
    assert "epsilon is" in message and "too small" in message and "\n" not in message
    return None


def check_epsilon(codec: AnyCodec, real: float, least: float = LEAST_KEPT) -> None:
    """That of the law, from its exact coins, is at most what is stated, and hardly less."""
    margin = ROUNDING * min(1.0, codec.epsilon) * 2
    assert real <= codec.epsilon, f"{codec}: epsilon is {real!r}, stated {codec.epsilon!r}"
    assert real >= codec.epsilon * least - margin


# ---- private_top -------------------------------------------------------------------------------------------


def true_scale(codec: PrivateTop) -> float:
    """bound / m / repeats, m = T_w (p / w - (1 - p) / (2n - w)), in exact fractions but for T_w."""
    p, w, n = codec._is_favoured.exact, codec._favoured, codec._axes
    lean = p / w - (1 - p) / (2 * n - w)
    return float(Fraction(codec.bound) / Fraction(largest_on_sphere(w, n, codec.size)) / lean / codec.repeats)


def check_scale(codec: Any) -> None:
    """What one report decodes to has the length bound / m / repeats; it is cut off where there is padding."""
    shared, payload = 5, (0).to_bytes(codec.nbytes, "little")
    total = np.zeros(codec.dim)
    for k in range(codec.repeats):
        e = np.eye(codec.size)[0]
        total += codec._rotation(shared, k).invert(e)[: codec.dim]
    decoded = codec.decode(payload, shared=shared)
    assert decoded == pytest.approx(total * true_scale(codec), rel=1e-13)


def reports(epsilon: float) -> list[tuple[str, int]]:
    found = [(f"private_top({epsilon!r}, axes={n})", 3) for n in (1, 2, 4, 64)]
    found += [
        (f"private_top({epsilon!r}, w=1, axes=4, bound=2.0)", 3),
        (f"private_top({epsilon!r}, repeats=3)", 64),
    ]
    return [(spec, dim) for spec, dim in found if epsilon <= 20 or "repeats" in spec]


@looped("epsilon", [*EPSILONS, 50.0])
def test_private_top(epsilon: float) -> None:
    seen = 0
    for spec, dim in reports(epsilon):
        codec: Any = built(spec, dim)
        if codec is None:
            assert epsilon < 1e-13 or "w=1" in spec or epsilon == 20
            continue
        p, w, n = codec._is_favoured.exact, codec._favoured, codec._axes
        check_epsilon(codec, codec.repeats * log1p(p * (2 * n - w) / (w * (1 - p)) - 1))
        check_scale(codec)
        seen += 1
    assert seen >= 1


def test_cancelling_scale_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: the difference of two probabilities that were rounded first, 9e-5 off at epsilon 1e-12."""

    def cancelling(self: PrivateTop) -> float:
        w, n, coin = self._favoured, self._axes, self._is_favoured
        return largest_on_sphere(w, n, self.size) * (coin.probability / w - coin.complement / (2 * n - w))

    monkeypatch.setattr(PrivateTop, "_mean", property(cancelling))
    with pytest.raises(AssertionError):
        check_scale(parse("private_top(1e-12, axes=4)", 3))


ANY = ["private_top({e})", "private_top({e}, axes=1)", "private(rappor({e}))", "private(oue({e}))",
       "private(rr({e}))", "private(subset_selection({e}, 2))"]  # fmt: skip


@pytest.mark.parametrize("spec", ANY)
@looped("epsilon", [1e-17, 1e-19, 1e-20, 1e-25, 1e-40, 5e-324])
def test_epsilons_that_no_coin_has_are_refused(epsilon: float, spec: str) -> None:
    """Not a division by zero, nor a negative scale: one line, or a scale as it should be."""
    codec = built(spec.format(e=repr(epsilon)), 3)
    if codec is not None:
        assert epsilon == 1e-17 and 0 < codec.variance() < math.inf
        assert codec.decode(bytes(codec.nbytes), shared=1) is not None


# ---- mechanisms on point sets ------------------------------------------------------------------------------


@looped("epsilon", EPSILONS)
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("mechanism", ["rappor", "oue"])
def test_unary(mechanism: str, dim: int, epsilon: float) -> None:
    codec: Any = built(f"private({mechanism}({epsilon!r}))", dim)
    keep, false = codec._response.keep.exact, codec._response.false.exact
    check_epsilon(codec, log1p(keep * (1 - false) / (false * (1 - keep)) - 1))
    assert codec._response.signal == pytest.approx(float(keep - false), rel=1e-15)


def likeliest(dim: int) -> Fraction:
    """A = (1 - 1/2d) / sqrt(d) + 1/2d to 50 digits."""
    with localcontext() as context:
        context.prec = 50
        return Fraction((1 - Decimal(1) / (2 * dim)) / Decimal(dim).sqrt() + Decimal(1) / (2 * dim))


@looped("epsilon", EPSILONS)
@looped("nominal", [False, True])
@pytest.mark.parametrize("dim", DIMS)
def test_randomized_response(dim: int, nominal: bool, epsilon: float) -> None:
    codec: Any = built(f"private(rr({epsilon!r}, nominal={str(nominal).lower()}))", dim)
    if codec is None:
        assert epsilon <= 1e-9
        return
    k = codec._response.informed.exact
    check_epsilon(codec, log1p(k / (1 - k) * 2 * dim * likeliest(dim)), 1 - 1e-6)
    assert codec._response.signal == pytest.approx(float(k), rel=1e-15)


@looped("epsilon", EPSILONS)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_subset_selection_on_simq(size: int, epsilon: float) -> None:
    """Any vertex of SimQ's set can be certain: (1 - k) / C(7, w) + k a / C(6, w - 1), a from 0 to 1."""
    codec: Any = built(f"private(subset_selection({epsilon!r}, {size}), simq)", 3)
    if codec is None:
        assert epsilon <= 1e-9
        return
    k = codec._response.informed.exact
    check_epsilon(codec, log1p(k / (1 - k) * 7 / size), 1 - 1e-6)
    assert codec._response.signal == pytest.approx(float(k * (7 - size) / 6), rel=1e-14)


def test_all_mechanisms_are_here() -> None:
    assert set(MECHANISMS) == {"rappor", "oue", "rr", "subset_selection"}


# ---- point sets by themselves ------------------------------------------------------------------------------

SCALES = [1.0001, 1.25, 2.0, 1e3, 1e6, 2.0**32]


@looped("scale", SCALES)
@pytest.mark.parametrize("dim", DIMS)
def test_stretched_cross_polytope(dim: int, scale: float) -> None:
    """ln(1 + 2d A / (scale - 1)): at 2^32 the least and the largest probability have 9 digits in common."""
    codec = parse(f"cross_polytope(scale={scale!r}, gain=bound(1.0))", dim)
    check_epsilon(codec, log1p(2 * dim * likeliest(dim) / (Fraction(scale) - 1)), 1)


@looped("kappa", SCALES)
def test_hadamard(kappa: float) -> None:
    """ln((kappa + 1) / (kappa - 1))."""
    codec = parse(f"hadamard(kappa={kappa!r}, gain=bound(1.0))", 3)
    check_epsilon(codec, log1p(2 / (Fraction(kappa) - 1)), 1)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_simplex(dim: int) -> None:
    """ln((4 + r) / (4 - r)), r = sqrt(9 - 8/d); ln 3 for d = 1."""
    with localcontext() as context:
        context.prec = 50
        r = (9 - Decimal(8) / dim).sqrt() if dim > 1 else Decimal(2)
        real = float(((4 + r) / (4 - r)).ln())
    check_epsilon(parse("simplex(gain=bound(1.0))", dim), real, 1)


def test_cancelling_spread_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: most / least of two floats that share their first digits; some epsilon is then understated."""

    def cancelling(least: float, spread: float, excess: float) -> float:
        return math.log((least + spread) / least)

    monkeypatch.setattr(Masses, "_log_odds", staticmethod(cancelling))
    wrong = 0
    for scale in (2.0**k for k in range(20, 33)):
        codec = parse(f"cross_polytope(scale={scale!r}, gain=bound(1.0))", 3)
        try:
            check_epsilon(codec, log1p(6 * likeliest(3) / (Fraction(scale) - 1)), 1)
        except AssertionError:
            wrong += 1
    assert wrong


@pytest.mark.parametrize(
    "spec", ["private(oue(1e-12))", "private(rappor(1e-12))", "private_top(1e-12, axes=2)"]
)
def test_law_at_a_tiny_epsilon(spec: str) -> None:
    """The probabilities as floats differ by what they should, to their last digits."""
    codec = parse(spec, 2)
    shared = 1 if codec.shared_randomness else None
    one, other = (law_of(codec, x, shared) for x in (np.array([1.0, 0]), np.array([0, -1.0])))
    by = dict(zip(one.payloads, one.probabilities, strict=True))
    odds = [abs(math.log(p / by[key])) for key, p in zip(other.payloads, other.probabilities, strict=True)]
    assert max(odds) <= 1e-12 + 1e-15
