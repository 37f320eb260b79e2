"""A user's own points: weights against a solver and closed forms, epsilons against a search, refusals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.spatial import ConvexHull

from gradwire import register_points
from gradwire.common.arrays.decisions import ROUNDING
from gradwire.common.codecs import parse
from gradwire.common.codecs.forms.convex import gauge
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.codecs.vqsgd.points import RHOMBIC, SCATTERED, SEGMENT, TETRAHEDRON, TRIANGLE, Points
from gradwire.common.errors import SpecError
from tests.common.codecs.law_checks import check_law
from tests.common.codecs.privacy_checks import largest_log_odds

F64 = np.ndarray


def points(array: object, dim: int, more: str = "") -> Points:
    digest = array if isinstance(array, str) else register_points(array)
    codec = parse(f"points({digest}{more})", dim)
    assert isinstance(codec, Points)
    return codec


def law(codec: object, v: F64) -> F64:
    return codec._probabilities(codec._prepare(GradientVector.of(v, codec.dim)).on_host)


def in_ball(dim: int, count: int, seed: int = 0) -> F64:
    """Vectors of the closed unit ball, half of them on the sphere."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, dim))
    x /= np.linalg.norm(x, axis=1)[:, None]
    x[::2] *= rng.uniform(0, 1, (len(x[::2]), 1))
    return x


def of_sphere(count: int, dim: int, radius: float, seed: int = 0) -> F64:
    x = np.random.default_rng(seed).standard_normal((count, dim))
    return radius * x / np.linalg.norm(x, axis=1)[:, None]


SETS = [(TRIANGLE, 2), (TETRAHEDRON, 3), (RHOMBIC, 3), (SEGMENT, 1), (SCATTERED, 7)]
every_set = pytest.mark.parametrize(("digest", "dim"), SETS)


# ---- weights -----------------------------------------------------------------------------------------------


def test_vector_at_which_a_solver_gives_up() -> None:
    """Without a second method the dual simplex of HiGHS ends here with "model status is Unknown"."""
    scattered = points(SCATTERED, 7)._set.points
    x = np.zeros(7)
    x[:2] = [-1.3634665850291535e29, 1.4563097267923156e29]
    x /= np.linalg.norm(x)
    found = gauge(scattered, x)
    assert found.weights.sum() == pytest.approx(0.26752880334967644, rel=1e-12)
    assert np.abs(found.weights @ scattered[found.indices] - x).max() <= 1e-12


@every_set
def test_weights_are_exact_and_of_least_variance(digest: str, dim: int) -> None:
    """Theory 1.1: the least sum a_i |c_i|^2, as another method of the solver finds it; exact where that is not."""
    codec = points(digest, dim)
    c, squares = codec._set.points, codec._set.squares
    for v in in_ball(dim, 30):
        a = law(codec, v)
        assert (a >= 0).all() and abs(a.sum() - 1) < 2**-50 and np.count_nonzero(a) <= dim + 1
        assert np.abs(a @ c - v).max() < 1e-14 * codec.radius
        rows = np.vstack([c.T, np.ones(len(c))])
        found = linprog(squares, A_eq=rows, b_eq=np.append(v, 1), bounds=(0, None), method="highs-ipm")
        assert found.fun - 1e-9 <= a @ squares <= found.fun + codec.radius**2 * (2**-24 + 1e-9)
        assert np.array_equal(law(codec, v), a)  # one vector, one law


def test_weights_of_a_simplex_are_barycentric() -> None:
    for seed in range(20):
        dim = 1 + seed % 5
        c = np.float32(5 * (dim + 1) * random_simplex(dim, seed)).astype(float)
        codec = points(c, dim)
        for v in in_ball(dim, 5, seed):
            expected = np.linalg.solve(np.vstack([c.T, np.ones(dim + 1)]), np.append(v, 1))
            assert np.abs(law(codec, v) - expected).max() < 1e-13


def random_simplex(dim: int, seed: int) -> F64:
    """dim + 1 points around the ball of radius 1 / dim, none of one length."""
    c = np.random.default_rng(seed).standard_normal((dim, dim + 1))
    regular = np.linalg.svd(np.eye(dim + 1) - 1 / (dim + 1))[0][:, :dim]
    turned = np.linalg.qr(c[:, :dim])[0]
    return regular @ turned * np.random.default_rng(seed).uniform(1, 1.3, (dim + 1, 1)) * math.sqrt(dim + 1)


@pytest.mark.parametrize(("array", "dim"), [(SEGMENT, 1), (2 * np.vstack([np.eye(4), -np.eye(4)]), 4)])
def test_no_bias_on_the_boundary_of_the_hull(array: object, dim: int) -> None:
    """The ball touches the hull here: vectors of the facet, and those that rounding puts beside it."""
    codec = points(array, dim)
    signs = [np.array(s) for s in itertools.product((-1.0, 1.0), repeat=dim)]
    for v in [s / math.sqrt(dim) for s in signs] + [s * np.float32(0.3) for s in signs]:
        payloads = codec.law(v)
        mean = sum(p * codec.decode(payload) for payload, p in payloads.items())
        assert np.abs(mean - v).max() < 1e-12


def test_a_set_that_float32_rounds_below_the_ball_is_taken() -> None:
    """Sqrt 3 as float32 is 2e-8 short, so the norm that is sent is as much longer, and nothing is biased."""
    c = math.sqrt(3) * np.vstack([np.eye(3), -np.eye(3)])
    codec = points(c, 3, ", gain=bound(1.0)")
    assert codec._known.proven and codec._known.reach.low < 1 < codec._set.lift < 1 + 1e-7
    flat = np.full(3, 1 / math.sqrt(3))
    mean = sum(p * codec.decode(payload) for payload, p in codec.law(flat).items())
    assert np.abs(mean - flat).max() < 1e-7  # clipped by that much
    check_law(points(c, 3))


# ---- the families of the paper, given as a user's points ------------------------------------------------------


@pytest.mark.parametrize("dim", [2, 3, 8])
def test_simplex(dim: int) -> None:
    """[V] section 6 as points: one law, one variance, one epsilon."""
    mine = points(np.vstack([-4 * np.ones(dim), 2 * dim * np.eye(dim)]), dim, ", gain=bound(2.0)")
    built_in = parse("simplex(gain=bound(2.0))", dim)
    for v in in_ball(dim, 20):
        assert np.abs(law(mine, v) - law(built_in, v)).max() < 1e-15
        assert mine.variance_at(v) == pytest.approx(built_in.variance_at(v), rel=1e-12)
    assert mine.variance() == pytest.approx(built_in.variance(), rel=1e-12) and not mine.variance_is_bound
    assert mine.epsilon == pytest.approx(built_in.epsilon, rel=1e-10) and mine.private and mine.secret_coins
    assert mine.masses(1).log_odds() <= mine.epsilon


@pytest.mark.parametrize("dim", [3, 7])
def test_hadamard(dim: int) -> None:
    """Kappa 2: ln 3, where [V] Proposition 14 prints ln(1 + sqrt 2) (V1)."""
    h = np.array([[1 - 2 * ((i & j).bit_count() % 2) for j in range(1, dim + 1)] for i in range(dim + 1)])
    mine = points(2 * math.sqrt(dim) * h, dim, ", gain=bound(1.0)")
    built_in = parse("hadamard(gain=bound(1.0))", dim)
    for v in in_ball(dim, 20):
        assert np.abs(law(mine, v) - law(built_in, v)).max() < 1e-7  # sqrt(dim) as float32
    assert mine.epsilon == pytest.approx(math.log(3), rel=1e-6)


@pytest.mark.parametrize("dim", [4, 9, 25])
def test_cross_polytope(dim: int) -> None:
    """Where the weights are unique, |v|_1 = sqrt(dim), one law; elsewhere one variance, dim - |v|^2 (theory 1.1)."""
    c = math.sqrt(dim) * np.vstack([np.eye(dim), -np.eye(dim)])
    mine, built_in = points(c, dim, ", gain=bound(1.0)"), parse("cross_polytope(gain=bound(1.0))", dim)
    assert mine.nbits == built_in.nbits and mine._known.proven  # by second moments beyond six dimensions
    for v in in_ball(dim, 10):
        assert mine.variance_at(v) == pytest.approx(dim - v @ v, rel=1e-9)
        facet = np.sign(v) * np.abs(v) / np.abs(v).sum() * math.sqrt(dim)
        assert np.abs(law(mine, facet) - law(built_in, facet)).max() < 1e-14
    assert mine.variance() == pytest.approx(dim - 1, rel=1e-8) and not mine.variance_is_bound
    assert mine.epsilon == math.inf


# ---- privacy -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_epsilon_of_a_simplex_is_exact(seed: int) -> None:
    """ln (b + |w|) / (b - |w|), reached on a grid of the circle; for three coordinates, by the tests of all codecs."""
    c = 6 * random_simplex(2, seed)
    codec = points(c, 2, ", gain=bound(3.0), repeats=2")
    angles = np.linspace(0, 2 * math.pi, 20_000)
    laws = np.array([codec._set.affine.weights(np.array([math.cos(t), math.sin(t)])) for t in angles])
    found = 2 * np.log(laws.max(axis=0) / laws.min(axis=0)).max()
    assert found <= codec.epsilon <= found * (1 + 1e-7) + 2 * 1.01 * ROUNDING
    assert codec.private and codec.secret_coins and not codec.epsilon_is_bound


def test_who_has_no_epsilon() -> None:
    """V13: the ball must be in the interior; and weights of more points vanish; and a norm that is sent tells."""
    touching = points([[1, 1], [-3, 1], [1, -3]], 2, ", gain=bound(1.0)")
    assert touching._known.reach.low == pytest.approx(1, abs=1e-15) or touching._known.reach.low < 1
    for codec in (touching, points(TRIANGLE, 2), points(RHOMBIC, 3, ", gain=bound(1.0)")):
        assert codec.epsilon == math.inf and not codec.private


@pytest.mark.parametrize(
    ("digest", "dim", "mechanism"),
    [(RHOMBIC, 3, "rr"), (TRIANGLE, 2, "rr"), (SEGMENT, 1, "rr"), (RHOMBIC, 3, "oue"), (SCATTERED, 7, "rr")],
)
def test_mechanisms_on_points_have_their_epsilon(digest: str, dim: int, mechanism: str) -> None:
    codec = parse(f"private({mechanism}(1.0), points({digest}))", dim)
    assert codec.private and codec.epsilon <= 1.0
    if codec.dim <= 3 and mechanism == "rr":
        found = largest_log_odds(codec, None)
        assert found <= codec.epsilon
        assert codec.epsilon_is_bound or found >= codec.epsilon - 1e-9
    assert codec.epsilon_is_bound == (digest != TRIANGLE)


@pytest.mark.parametrize(("digest", "dim"), [(RHOMBIC, 3), (SEGMENT, 1), (SCATTERED, 7)])
def test_no_weight_exceeds_its_cap(digest: str, dim: int) -> None:
    """The cap holds for all weights that a combination can have, and is sharper than 1 for points beyond the ball."""
    codec = points(digest, dim)
    ((least, most),) = codec.masses(1).ranges
    assert least == 0 and (0.3 < most < 1 or digest == SEGMENT)
    c = codec._set.points
    for v in in_ball(dim, 15):
        rows, right = np.vstack([c.T, np.ones(len(c))]), np.append(v, 1)
        for i in range(0, len(c), 5):
            found = linprog(-np.eye(len(c))[i], A_eq=rows, b_eq=right, bounds=(0, None))
            assert -found.fun <= most + 1e-9


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_masses_of_a_simplex(size: int) -> None:
    """Of every set of points: what the weights reach on the sphere in the direction of their slope, and no more."""
    codec = points(TETRAHEDRON, 3)
    ranges = codec.masses(size).ranges if size < 4 else ()
    inverse = codec._set.affine.rows
    for chosen, (least, most) in zip(itertools.combinations(range(4), size), ranges, strict=False):
        row = inverse[list(chosen)].sum(axis=0)
        u = row[:3] / np.linalg.norm(row[:3])
        reached = [law(codec, s * u)[list(chosen)].sum() for s in (-1, 1)]
        assert reached == pytest.approx([least, most], abs=1e-13)


# ---- [V] Theorem 6 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 6])
def test_reach_by_facets(dim: int) -> None:
    """[V] Theorem 6: the least support over all directions, here over many; the direction attains it."""
    c = np.float32(of_sphere(20 + dim**3, dim, 2.5, seed=dim)).astype(float)
    known = points(c, dim)._known
    low, high, direction = known.reach
    supports = (of_sphere(200_000, dim, 1.0, seed=1) @ c.T).max(axis=1)
    assert low == high and (c @ direction).max() == pytest.approx(low, rel=1e-12)
    assert low <= supports.min() * (1 + 1e-12)
    assert dim > 3 or supports.min() < low * 1.02


def test_reach_beyond_six_dimensions() -> None:
    """The search finds the facets that ConvexHull lists: the same shortest direction, without listing them."""
    for seed in range(4):
        c = np.float32(of_sphere(60, 7, 4.0, seed)).astype(float)
        known = points(c, 7)._known
        exact = float(-ConvexHull(c).equations[:, -1].max())
        assert known.reach.low <= exact <= known.reach.high * (1 + 1e-9)
        assert known.reach.high <= exact * 1.05
        assert known.refuted == (exact < 1) and not known.proven


@pytest.mark.parametrize(
    ("array", "dim", "says"),
    [
        (
            np.vstack([np.eye(3), -np.eye(3)]),
            3,
            r"direction \[.0.577, .0.577, .0.577\] it ends at 0.57735, expected",
        ),
        (2.5 * np.vstack([np.eye(9), -np.eye(9)]), 9, "it ends at 0.83333.*multiply the points by 1.200001"),
        (
            np.vstack([np.eye(3), np.zeros((1, 3)), -np.eye(3)[:2]]) * 9,
            3,
            "no point has a positive component",
        ),
        (9 * np.vstack([np.eye(7), np.ones((1, 7))]), 7, "no point has a positive component"),
        (np.column_stack([of_sphere(30, 2, 9.0), np.zeros(30)]), 3, r"direction \[.?0, .?0, .?1\] no point"),
        (np.ones((9, 2)), 2, "no point has a positive component"),
        (of_sphere(40, 10, 3.0), 10, r"direction \[.*, …\] it ends at 0\.\d+, expected at least 1"),
    ],
)
def test_hulls_without_the_ball_are_refused(array: F64, dim: int, says: str) -> None:
    digest = register_points(array)
    with pytest.raises(SpecError, match=says) as refusal:
        parse(f"points({digest})", dim)
    assert "\n" not in str(refusal.value)


def test_the_factor_of_a_refusal_mends_the_set() -> None:
    for array, dim in ((np.vstack([np.eye(3), -np.eye(3)]), 3), (of_sphere(40, 10, 3.0), 10)):
        with pytest.raises(SpecError) as refusal:
            points(array, dim)
        factor = float(str(refusal.value).split()[-1])
        assert points(array * factor, dim)._set.points.shape == array.shape


def test_gauge_where_the_search_missed_a_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hull that is short in a direction that was not found: the gauge is sent for the norm, and nothing is biased."""
    c = np.float32(of_sphere(40, 7, 3.0, seed=3)).astype(float)
    equations = ConvexHull(c).equations
    nearest, farthest = equations[:, -1].argmax(), equations[:, -1].argmin()
    assert -equations[nearest, -1] < 0.9
    monkeypatch.setattr(
        "gradwire.common.codecs.forms.hull._shortest_direction", lambda _: equations[farthest, :-1]
    )
    codec = points(c, 7)
    assert not codec._known.refuted and not codec._known.proven and codec._set.largest_gauge > 1
    u = equations[nearest, :-1]
    sent = codec._norm_estimate(GradientVector.of(u, 7)).value
    assert 1 / sent == pytest.approx(-equations[nearest, -1], rel=1e-6) and sent <= codec._set.largest_gauge
    payloads = codec.law(u)
    assert np.abs(sum(p * codec.decode(payload) for payload, p in payloads.items()) - u).max() < 1e-12
    assert codec.variance_at(u) <= codec.variance() and codec.variance_is_bound
