"""Mechanisms on point sets: closed forms of theory 1.2 and 6 written down again, refusals, and what leaks nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import DomainError, SpecError
from gradwire.common.privacy.mechanisms.base import MECHANISMS
from gradwire.common.randomness import SystemCoins, worker_coins
from tests.common.codecs.vectors import SHAPES, ramp
from tests.grids import looped

DIMS = [3, 128, 1024]
EPSILONS = [1.0, 4.0, 8.0]

# ---- epsilon -----------------------------------------------------------------------------------------------


def likeliest(d: int) -> float:
    """A, the largest probability of a vertex of the cross-polytope."""
    return (1 - 1 / (2 * d)) / math.sqrt(d) + 1 / (2 * d)


@pytest.mark.parametrize("dim", [*DIMS, 795_010])
@looped("epsilon", [0.01, *EPSILONS, 20.0])
def test_epsilon_equals_the_parameter(dim: int, epsilon: float) -> None:
    for mechanism in ("rr", "rappor", "oue", "subset_selection"):
        for repeats in (1, 3):
            codec = parse(f"private({mechanism}({epsilon}), cross_polytope(repeats={repeats}))", dim)
            assert codec.epsilon == repeats * epsilon and codec.private and not codec.epsilon_is_bound


@pytest.mark.parametrize("dim", DIMS)
@looped("epsilon", EPSILONS)
def test_nominal_epsilon_is_an_upper_bound(dim: int, epsilon: float) -> None:
    """Erratum V3: ln(1 + (e^eps - 1) A)."""
    codec = parse(f"private(rr({epsilon}, nominal=true))", dim)
    assert codec.epsilon == pytest.approx(math.log1p(math.expm1(epsilon) * likeliest(dim)), abs=1e-9)


def test_epsilon_of_unknown_sets_is_a_bound() -> None:
    for spec in ("gaussian(6)", "epsilon_net"):
        assert parse(f"private(rr(1.0), {spec})", 3).epsilon_is_bound
    assert parse("private(rappor(1.0), simplex)", 3).epsilon_is_bound
    assert parse("private(rr(1.0), reed_muller)", 3).epsilon_is_bound  # padded to 4
    assert not parse("private(rr(1.0), reed_muller)", 4).epsilon_is_bound


# ---- variance, from theory's formulas and from its table ---------------------------------------------------


def centred(mechanism: str, e: float, k: int, square: float, a: float) -> float:
    """The variance at |v| = 1 for K centred vertices of squared length R^2 (theory 1.2 and 6)."""
    if mechanism == "rr nominal":
        return square * ((math.exp(e) + k - 1) / math.expm1(e)) ** 2 - 1
    if mechanism == "rr":
        return square * (1 + k * a / math.expm1(e)) ** 2 - 1
    if mechanism == "rappor":
        t = math.exp(e / 2)
        return square - 1 + k * square * t / (t - 1) ** 2
    q = 1 / (math.exp(e) + 1)
    return square - 1 + square * (0.25 + (k - 1) * q * (1 - q)) / (0.5 - q) ** 2


@looped("dim", DIMS)
@looped("epsilon", EPSILONS)
@pytest.mark.parametrize("mechanism", ["rr", "rr nominal", "rappor", "oue"])
def test_variance_of_theory(mechanism: str, epsilon: float, dim: int) -> None:
    name, _, nominal = mechanism.partition(" ")
    spec = f"private({name}({epsilon}{', nominal=true' if nominal else ''}), cross_polytope(repeats=2), bound=3.0)"
    meant = centred(mechanism, epsilon, 2 * dim, dim, likeliest(dim))
    codec = parse(spec, dim)
    assert codec.variance(3.0) == pytest.approx(9 * meant / 2, rel=1e-8)
    for shape in SHAPES.values():
        x = shape(dim) * (3.0 / np.linalg.norm(shape(dim)))
        assert codec.variance_at(x) == pytest.approx(9 * meant / 2, rel=1e-8)
        assert codec.variance_at(x / 3) == pytest.approx((9 * meant + 8) / 2, rel=1e-8)  # 9 R^2 - |x|^2
        assert codec.variance_at(2 * x) == pytest.approx(9 * meant / 2 + 9, rel=1e-8)  # clipping takes 9


TABLE = [  # theory 6: d = 128 and 1024 at epsilon 1, 4 and 8
    ("rr({e}, nominal=true)", (2.88e6, 4270, 150, 1.46e9, 1.57e6, 2914)),
    ("rr({e})", (27655, 264, 129, 1.54e6, 5010, 1068)),
    ("rappor({e})", (1.29e5, 6059, 750, 8.2e6, 3.8e5, 40880)),
    ("oue({e})", (1.21e5, 2746, 299, 7.7e6, 1.6e5, 4863)),
    ("subset_selection({e}, nominal=true)", (1.20e5, 2485, 150, 7.7e6, 1.6e5, 2914)),
]


@pytest.mark.parametrize(("mechanism", "row"), TABLE)
def test_table_of_theory(mechanism: str, row: tuple[float, ...]) -> None:
    cells = [(d, e) for d in (128, 1024) for e in EPSILONS]
    for (dim, epsilon), meant in zip(cells, row, strict=True):
        codec = parse(f"private({mechanism.format(e=epsilon)})", dim)
        assert codec.variance() == pytest.approx(meant, rel=0.02 if meant > 1e5 else 0.004)


def test_hadamard_of_any_epsilon() -> None:
    """Kappa = coth(epsilon / 2): 76,720 / 17,629 / 16,405 at d = 128 (theory 6), by rr on the set with kappa = 1."""
    for epsilon, meant in zip(EPSILONS, (76_720, 17_629, 16_405), strict=True):
        kappa = 1 / math.tanh(epsilon / 2)
        by_kappa = parse(f"hadamard({kappa!r}, gain=bound(1))", 128)
        by_rr = parse(f"private(rr({epsilon}), hadamard(1))", 128)
        assert (
            by_kappa.variance() == pytest.approx(by_rr.variance(), rel=1e-8) == pytest.approx(meant, rel=1e-3)
        )
        assert by_rr.epsilon == epsilon and by_kappa.epsilon == pytest.approx(epsilon, abs=1e-9)


def test_rr_is_a_longer_cross_polytope() -> None:
    """The identity of theory 1.2: same law, same points, for the scale that has that epsilon."""
    codec = parse("private(rr(1.0))", 3)
    scale = float(1 / codec._response.informed.exact)
    longer = parse(f"cross_polytope(scale={scale!r}, gain=bound(1.0))", 3)
    one, other = codec.law(ramp(3)), longer.law(ramp(3))
    assert one.keys() == other.keys()
    for payload, probability in one.items():
        assert other[payload] == pytest.approx(probability, rel=1e-12)
        assert codec.decode(payload) == pytest.approx(longer.decode(payload), rel=1e-12)


@pytest.mark.parametrize(
    ("spec", "dim", "nbits"),
    [
        ("private(rr(4), cross_polytope(repeats=10), bound=1.0)", 128, 80),
        ("private(rr(4), cross_polytope(repeats=100, coding=multiset))", 795_010, 1536),
        ("private(rappor(4), cross_polytope(repeats=3))", 100, 600),
        ("private(oue(4), simq)", 100, 201),
        ("private(subset_selection(4, 5), cross_polytope(repeats=2))", 128, 2 * 34),
        ("private(rr(1), simplex(repeats=2))", 127, 14),
    ],
)
def test_bits(spec: str, dim: int, nbits: int) -> None:
    """No byte beside the reports: no gain, no flag."""
    assert parse(spec, dim).nbits == nbits


# ---- refusals ----------------------------------------------------------------------------------------------

REFUSED = [
    (
        "rr(1), cross_polytope(gain=exact)",
        "gain=exact of cross_polytope is not allowed here, because a norm that depends",
    ),
    ("rr(1), cross_polytope(1, exact)", "gain=exact of cross_polytope is not allowed here"),
    (
        "rr(1), simplex(gain=aguq(1.0, 10))",
        r"gain=aguq\(bound=1.0, horizon=10\) of simplex is not allowed here",
    ),
    (
        "rr(1), cross_polytope(gain=bound(2.0))",
        r"leave it out, private\(…, bound=B\) clips to a public bound",
    ),
    ("rr(1), l1_systematic(4)", "systematic draws make some counts impossible, so no epsilon holds"),
    ("rr(1), qsgd", "the length of its payload depends on the gradient and reveals it"),
    (
        "rr(1), dme(entropy_coded=true)",
        "the length of its payload depends on the gradient and reveals it",
    ),
    (
        "rr(1), ratq",
        "ratq is not allowed here .it draws no vertices.: expected one of cross_polytope, epsilon_net,",
    ),
    ("rr(1), rotated(3, cross_polytope)", r"write wrappers outside, as in rotated\(3, private\(…\)\)"),
    ("rr(1), private(rr(1))", "private is not allowed here .private by itself."),
    ("rr(1), nothing", "unknown codec 'nothing'"),
    ("rapor(1)", "unknown mechanism 'rapor': did you mean rappor"),
    ("rr", r"rr needs epsilon: write rr\(epsilon=…\)"),
    ("rr(0)", "epsilon is 0.0, expected above 0 and at most 20"),
    ("rr(-1)", "epsilon is -1.0, expected above 0 and at most 20"),
    ("oue(nan)", "epsilon is nan, expected above 0 and at most 20"),
    ("rappor(inf)", "epsilon is inf, expected above 0 and at most 20"),
    (
        "subset_selection(1e9)",
        "epsilon is 1000000000.0, expected above 0 and at most 20: beyond that nothing is hidden",
    ),
    ("rr(20.5)", "expected above 0 and at most 20"),
    ("rr(1e-12)", "epsilon is 1e-12, too small for so many vertices"),
    ("rr(word)", "rr: epsilon is word, expected float"),
    ("rr(3.0), hadamard", "these vertices have 1.09861 by themselves: use them without a mechanism"),
    ("rr(2.0), simplex", "use them without a mechanism, under gain=bound.B., or choose a smaller epsilon"),
    ("subset_selection(1, 0)", "w is 0, expected 1 to 199: there are 200 vertices"),
    ("subset_selection(1, 200)", "w is 200, expected 1 to 199"),
    ("rr(1), bound=0", "the bound is 0.0, expected a length that float32 holds"),
    ("rr(1), bound=-2", "the bound is -2.0, expected"),
    ("rr(1), bound=nan", "the bound is nan, expected"),
    ("rr(1), bound=1e39", r"the bound is 1e\+39, expected"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_refusals(arguments: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as refused:
        parse(f"private({arguments})", 100)
    assert "\n" not in str(refused.value)


def test_dimensions_that_are_too_large() -> None:
    with pytest.raises(
        SpecError, match="rappor: 8589934592 vertices take one bit each, and at most 268435456"
    ):
        parse("private(rappor(1))", 1 << 32)
    with pytest.raises(
        SpecError, match="dim is 4294967297, at most 4294967296 coordinates of cross_polytope"
    ):
        parse("private(rr(1))", (1 << 32) + 1)
    with pytest.raises(SpecError, match="at most 16777216 coordinates of hadamard"):
        parse("private(rr(1), hadamard(1))", (1 << 24) + 1)
    with pytest.raises(SpecError, match="too small for so many vertices"):
        parse("private(rr(0.001, nominal=true))", 1 << 22)


def simplex_log_odds(d: int, weight: float) -> float:
    """The largest ln of P(report, given v) / P(report, given v') over vertices and the ball, by theory's masses."""
    r, s = math.sqrt(9 - 8 / d), math.sqrt(d)
    ranges = ((4 - r) / (6 * d), (4 + r) / (6 * d)), ((2 * s - 1) / (6 * s), (2 * s + 1) / (6 * s))
    return max(math.log1p((weight - 1) * (b - a) / (1 + (weight - 1) * a)) for a, b in ranges)


@pytest.mark.parametrize("dim", [100, 1000, 65_536, 300_000, 795_010, 1 << 22])
@looped("epsilon", [0.01, 1.0, 1.9])
def test_vertices_of_very_different_likelihood(dim: int, epsilon: float) -> None:
    """A simplex's -4·1 has a third of the mass, an axis 1 / d: what the axes have to hide still decides."""
    codec = parse(f"private(rr({epsilon}), simplex(repeats=7))", dim)
    k = codec._response.informed
    weight = 1 + k.probability / k.complement * (dim + 1)
    assert simplex_log_odds(dim, weight) == pytest.approx(epsilon, rel=2e-9)
    assert codec.epsilon == 7 * epsilon


def test_vertices_that_are_nearly_as_private_as_asked() -> None:
    """ln 3 less 10^-6 is below what Hadamard's vertices have, by less than the least that a mechanism takes away."""
    epsilon = math.log(3) - 1e-6
    nearly = (
        "1.09861 by themselves, which a mechanism cannot reduce by so little: use them without a mechanism"
    )
    with pytest.raises(SpecError, match=nearly):
        parse(f"private(rr({epsilon!r}), hadamard)", 100)
    assert parse(f"private(rr({math.log(3) - 1e-3!r}), hadamard)", 100).private


@pytest.mark.parametrize("name", sorted(MECHANISMS))
def test_seeded_coins_are_refused(name: str) -> None:
    codec, x = parse(f"private({name}(1.0))", 10), ramp(10)
    for coins in (np.random.default_rng(1), worker_coins(1, 2, 3)):
        with pytest.raises(DomainError, match=r"its coins must be secret, pass SystemCoins\(\)"):
            codec.encode(x, coins)
    assert len({codec.encode(x, SystemCoins()) for _ in range(50)}) > 1


def test_wrappers_are_as_private() -> None:
    for outer in ("rotated(3, {})", "subsample(0.5, {})"):
        codec = parse(outer.format("private(rr(2.0), cross_polytope(repeats=3))"), 64)
        assert codec.epsilon == 6.0 and codec.private
        with pytest.raises(DomainError, match="secret"):
            codec.encode(ramp(64), np.random.default_rng(1), shared=1)


def test_spec_states_resolved_parameters() -> None:
    codec = parse("private(subset_selection(4))", 128)
    assert codec.spec == (
        "private(mechanism=subset_selection(epsilon=4.0, w=5, nominal=false), "
        "codec=cross_polytope(repeats=1, coding=tuple, scale=1.0), bound=1.0)"
    )
    assert parse("private(rr(1), cross_polytope(gain=bound(2.0)), bound=2)", 9) == parse(
        "private(rr(1), bound=2.0)", 9
    )
