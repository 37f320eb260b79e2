"""private_top: theory's table, exact laws at every rotation, and the bias that Hadamard rounds leave."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, special

from gradwire.common.arrays.largest import best_count, largest_on_sphere, largest_squares_on_sphere
from gradwire.common.codecs import parse
from gradwire.common.codecs.payloads import unpack_checked
from gradwire.common.codecs.rotations.private_top import PrivateTop
from gradwire.common.errors import DomainError, SpecError
from gradwire.common.randomness import SystemCoins, worker_coins
from tests.common.codecs.coins import coins
from tests.common.codecs.refusal_checks import check_refuses_payload, with_field
from tests.common.codecs.vectors import ramp

EPSILONS = (1.0, 4.0, 8.0)


def top(spec: str, dim: int) -> PrivateTop:
    codec = parse(spec, dim)
    assert isinstance(codec, PrivateTop)
    return codec


# ---- theory 6 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dim", "axes", "row"),
    [
        (128, None, (808, 54.9, 17.7)),
        (1024, None, (6482, 445, 138)),
        (128, 1, (937, 215, 200)),
        (1024, 1, (7527, 1729, 1609)),
    ],
)
def test_table_of_theory(dim: int, axes: int | None, row: tuple[float, ...]) -> None:
    for epsilon, meant in zip(EPSILONS, row, strict=True):
        codec = top(f"private_top({epsilon}, axes={axes or 'none'})", dim)
        assert codec.variance() == pytest.approx(meant, rel=0.008)
        assert codec.epsilon == epsilon and codec.nbits == math.ceil(math.log2(2 * (axes or dim)))


def privunit(dim: int, epsilon: float) -> float:
    """PrivUnit's variance with its best cap: 1 / m^2 - 1, m the mean inner product of its report with the input."""
    a = (dim - 1) / 2

    def mean(cap: float) -> float:
        tail = special.betainc(a, 0.5, 1 - cap * cap) / 2  # P(u_1 > cap)
        height = (1 - cap * cap) ** a / ((dim - 1) * special.beta(a, 0.5))  # E[u_1; u_1 > cap]
        p = math.exp(epsilon) * tail / (1 + math.expm1(epsilon) * tail)
        return float(p * height / tail - (1 - p) * height / (1 - tail))

    return 1 / max(mean(cap) for cap in np.linspace(1e-4, 0.6, 3000)) ** 2 - 1


@pytest.mark.parametrize("dim", [128, 1024])
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_within_a_few_per_cent_of_privunit(dim: int, epsilon: float) -> None:
    best = privunit(dim, epsilon)
    assert best * 0.995 <= top(f"private_top({epsilon})", dim).variance() <= 1.09 * best


@pytest.mark.parametrize(
    ("odds", "among"), [(math.e, 64), (54.6, 128), (2981.0, 128), (2981.0, 1024), (1.1, 64)]
)
def test_best_count(odds: float, among: int) -> None:
    """No other number is better by more than a part in ten thousand."""

    def value(w: int) -> float:
        return largest_on_sphere(w, among, among) / (w * (odds - 1) + 2 * among)

    found = value(best_count(odds, among))
    tried = sorted({*range(1, 12), *range(12, among + 1, max(1, among // 12))})
    assert max(value(w) for w in tried if w <= among) <= found * (1 + 1e-4)


@pytest.mark.parametrize(("count", "among"), [(1, 3), (5, 64), (40, 64), (64, 64)])
def test_largest_squares(count: int, among: int) -> None:
    """Against the integral over t of E min(count, how many squares are above t)."""

    def expected(t: float) -> float:
        tail = special.erfc(math.sqrt(t / 2))
        ranks = np.arange(1, count + 1)
        return float(np.where(ranks < among + 1, special.bdtrc(ranks - 1, among, tail), 0).sum())

    total = integrate.quad(expected, 0, 80, points=[0.1, 1, 3, 6, 12], limit=400, epsabs=1e-10)[0]
    assert largest_squares_on_sphere(count, among, 100) == pytest.approx(total / 100, rel=1e-8)


# ---- the law -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", ["private_top(1.0)", "private_top(8.0, bound=2.0)", "private_top(0.25, w=1)"]
)
def test_epsilon_at_every_pair(spec: str) -> None:
    """All 128 signed axes, opposite gradients and others: exp(epsilon) is attained, and never exceeded."""
    codec = top(spec, 5)
    inputs = [s * codec.bound * e for e in np.eye(5) for s in (1, -1)] + [ramp(5), 9 * ramp(5), np.zeros(5)]
    laws = np.log([list(codec.law(x, shared=3).values()) for x in inputs])
    worst = float((laws.max(axis=0) - laws.min(axis=0)).max())
    assert laws.shape == (13, 128)
    assert codec.epsilon - 1e-9 <= worst <= codec.epsilon


def test_short_gradients_have_smaller_odds() -> None:
    """At |x| = r both directions have mean weights (1 ± r) / 2: the odds shrink with the length."""
    codec = top("private_top(2.0, axes=1)", 4)
    law = codec.law(0.25 * np.eye(4)[1], shared=5)
    p = math.exp(2) / (1 + math.exp(2))
    assert max(law.values()) == pytest.approx(0.625 * p + 0.375 * (1 - p), abs=1e-9)
    assert list(codec.law(np.zeros(4), shared=5).values()) == pytest.approx([0.5, 0.5])


def test_reports_have_rotations_of_their_own() -> None:
    codec = top("private_top(40.0, repeats=2)", 6)
    assert codec.epsilon == 40.0 and codec.nbits == 14
    one = parse("private_top(20.0)", 6)
    assert codec.variance() == pytest.approx(one.variance() / 2)
    y = [codec._rotation(7, k).apply(np.eye(64)[0]) for k in (0, 1)]
    assert abs(float(y[0] @ y[1])) < 0.7
    assert len({codec._rotation(7, k).seed for k in range(20)}) == 20


def test_reports_follow_the_law_at_many_axes() -> None:
    """Favoured axes are named as often as stated, to five standard deviations, by fixed coins; so are others."""
    codec, x = top("private_top(1600.0, repeats=400)", 1000), ramp(1000)
    drawn = unpack_checked(codec, codec.encode(x, coins(5), shared=9))
    hits = sum(int(r) in codec._nearest_axes(codec._rotation(9, k).apply(x)) for k, r in enumerate(drawn))
    p = codec._is_favoured.probability
    assert abs(hits - 400 * p) < 5 * math.sqrt(400 * p * (1 - p))
    assert len(np.unique(drawn)) > 100


def test_bias_of_hadamard_rounds() -> None:
    """The mean over public seeds, exact over the private coins, at the sparsest gradients there are."""
    for dim, spec, seeds in ((64, "private_top(4.0)", 1000), (1024, "private_top(4.0)", 200)):
        codec = top(spec, dim)
        x = np.eye(dim)[3]
        total = np.zeros(dim)
        for seed in range(seeds):
            rotation = codec._rotation(seed, 0)
            nearest = codec._nearest_axes(rotation.apply(x))
            y = np.zeros(codec.size)
            np.add.at(y, nearest % codec.size, np.where(nearest < codec.size, 1.0, -1.0))
            n, w, near = codec.size, codec._favoured, codec._is_favoured
            y *= near.probability / w - near.complement / (2 * n - w)
            total += rotation.invert(y)
        mean = total / (seeds * codec._mean)
        across = np.delete(mean, 3)
        assert mean[3] == pytest.approx(1, abs=0.01)  # along x the report's mean hardly varies
        assert float(np.linalg.norm(across)) < 3 * math.sqrt(dim / seeds)


# ---- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("0", "epsilon is 0.0, expected above 0 and at most 20 per report"),
        ("-1", "epsilon is -1.0, expected above 0"),
        ("nan", "epsilon is nan, expected above 0"),
        ("inf", "epsilon is inf, expected above 0"),
        ("21", "epsilon is 21.0, expected above 0 and at most 20 per report: beyond that nothing is hidden"),
        ("1, w=0", "w is 0, expected 1 to 128"),
        ("1, w=129", "w is 129, expected 1 to 128 signed axes, one of each axis and its opposite"),
        ("1, w=3, axes=2", "w is 3, expected 1 to 2"),
        ("1, axes=0", "axes is 0, expected 1 to 128 rotated coordinates"),
        ("1, axes=129", "axes is 129, expected 1 to 128"),
        ("1, repeats=0", "repeats is 0, expected 1"),
        ("1, bound=0", "the bound is 0.0, expected a length that float32 holds"),
        ("1, bound=nan", "the bound is nan"),
        ("word", "epsilon is word, expected float"),
    ],
)
def test_bad_parameters(arguments: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as refused:
        parse(f"private_top({arguments})", 100)
    assert "\n" not in str(refused.value)


def test_seeded_coins_and_missing_seeds_are_refused() -> None:
    codec = parse("private_top", 10)
    for seeded in (np.random.default_rng(1), worker_coins(1, 2, 3)):
        with pytest.raises(DomainError, match="its coins must be secret"):
            codec.encode(ramp(10), seeded, shared=1)
    with pytest.raises(DomainError, match="pass shared"):
        codec.encode(ramp(10), SystemCoins())


def test_axes_beyond_the_last_are_refused() -> None:
    codec = parse("private_top(axes=5, repeats=3)", 10)
    payload = codec.encode(ramp(10), SystemCoins(), shared=1)
    for report in (0, 2):
        for axis in (10, 15):
            check_refuses_payload(codec, with_field(payload, 4 * report, 4, axis))
