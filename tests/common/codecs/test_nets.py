"""Point sets near the sphere: the net, whose combinations are closed forms, and Gaussian points, whose are programs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.codecs.forms.convex import convex_combination, gauge
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.codecs.vqsgd.epsilon_net import EpsilonNet
from gradwire.common.codecs.vqsgd.gaussian import Gaussian, _normals
from gradwire.common.errors import DomainError, SpecError
from tests.common.codecs.vectors import SHAPES, of_norm

F64 = np.ndarray
NETS = [(0.5, 1), (0.5, 2), (0.75, 3), (0.3, 3), (0.9, 4), (0.6, 4), (0.9, 5), (0.99, 6)]
every_net = pytest.mark.parametrize(("covering", "dim"), NETS)


def net(covering: float, dim: int) -> EpsilonNet:
    codec = parse(f"epsilon_net({covering})", dim)
    assert isinstance(codec, EpsilonNet)
    return codec


def directions(dim: int, count: int = 1000) -> F64:
    """Unit vectors: random ones, and those at corners, edges and centres of a cube's faces."""
    random = np.random.default_rng(dim).standard_normal((count, dim))
    regular = [np.array(x) for x in itertools.product((-1, 0, 1), repeat=dim) if any(x)]
    every = np.vstack([random, np.array(regular), *(x[None] for x in of_norm(1.0, dim))])
    return every / np.linalg.norm(every, axis=1)[:, None]


# ---- the net -----------------------------------------------------------------------------------------------


@every_net
def test_vertices_are_the_corners_of_the_grid(covering: float, dim: int) -> None:
    """Each corner on the cube's surface once, projected to the sphere, and numbered as it is drawn."""
    codec = net(covering, dim)
    points = codec._points(np.arange(codec.vertices))
    m = codec.cells
    corners = [x for x in itertools.product(range(m + 1), repeat=dim) if any(i in (0, m) for i in x)]
    expected = 2 * np.array(corners) / m - 1
    expected /= np.linalg.norm(expected, axis=1)[:, None]
    assert codec.vertices == len(corners)
    numbers = codec._indices(np.array(corners))
    assert sorted(numbers.tolist()) == list(range(codec.vertices))
    assert np.abs(points[numbers] - expected).max() < 1e-15


@every_net
def test_points_cover_the_sphere(covering: float, dim: int) -> None:
    codec = net(covering, dim)
    nearest = (directions(dim) @ codec._points(np.arange(codec.vertices)).T).max(axis=1)
    assert np.sqrt(np.maximum(0, 2 - 2 * nearest)).max() <= covering


@every_net
def test_radius_is_below_the_papers(covering: float, dim: int) -> None:
    """At most 1 / (1 - e^2 / 2) (V6), itself below the paper's 1 / (1 - e)."""
    assert 1 <= net(covering, dim).radius <= 1 / (1 - covering**2 / 2) < 1 / (1 - covering)


@every_net
def test_combinations_are_exact(covering: float, dim: int) -> None:
    codec = net(covering, dim)
    for x in directions(dim):
        places, weights = codec._combination(x)
        points = codec.radius * codec._points(codec._indices(places))
        assert (weights >= 0).all() and weights.sum() <= 1 + 1e-15
        assert np.abs(weights @ points - x).max() < 2e-15


def test_radius_cannot_be_less() -> None:
    """For odd m the centre of a face is a cell's centre, and the corners are equally long: the weights take it all."""
    codec = net(0.9, 8)
    assert codec.cells == 3
    assert codec._combination(np.eye(8)[2]).weights.sum() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    ("covering", "dim", "nbits", "variance"),
    [
        (0.5, 3, 6, 2 / 9),
        (0.5, 8, 23, 7 / 36),
        (0.75, 12, 32, 11 / 25),
        (0.9, 17, 40, 1.0),
        (0.75, 1, 1, 0.0),
    ],
)
def test_bits_and_variance_of_nets(covering: float, dim: int, nbits: int, variance: float) -> None:
    """Ceil log2((m + 1)^d - (m - 1)^d) bits, (d - 1) / m^2: m = 3, 6, 5, 4, 1."""
    codec = net(covering, dim)
    assert codec.nbits == 32 + nbits
    assert codec.variance() == codec.variance_at(np.eye(dim)[0]) == pytest.approx(variance, abs=1e-15)


@pytest.mark.parametrize(
    ("spec", "dim", "message"),
    [
        ("epsilon_net(0)", 3, "covering"),
        ("epsilon_net(1)", 3, "covering"),
        ("epsilon_net(nan)", 3, "covering"),
        ("epsilon_net(1e-300)", 3, "covering"),
        ("epsilon_net(1e-12)", 3, "raise covering"),
        ("epsilon_net(0.9)", 18, "up to dim 17"),
        ("epsilon_net", 795_010, "raise covering"),
        ("gaussian(2)", 3, "expected 4 to 12"),
        ("gaussian(13)", 3, "expected 4 to 12"),
        ("gaussian(8)", 65, "expected 9 to 11"),
        ("gaussian(9)", 257, "at most 256"),
        ("gaussian(8)", 795_010, "at most 256"),
        ("gaussian(8, seed=-1)", 3, "seed"),
    ],
)
def test_refused_nets(spec: str, dim: int, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(spec, dim)


# ---- linear programs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 5, 9])
def test_gauge_of_the_cross_polytope_is_l1(dim: int) -> None:
    points = np.vstack([np.eye(dim), -np.eye(dim)])
    for f in SHAPES.values():
        x = f(dim)
        found = gauge(points, x)
        assert found.weights.sum() == pytest.approx(np.abs(x).sum(), rel=1e-13)
        assert np.abs(found.weights @ points[found.indices] - x).max() <= 1e-15 * np.abs(x).max()


def test_outside_the_hull() -> None:
    points = np.vstack([np.eye(3), -np.eye(3)])
    assert convex_combination(
        points, np.ones(6), np.array([0.5, 0.25, -0.25])
    ).weights.sum() == pytest.approx(1)
    with pytest.raises(DomainError, match="no combination"):
        convex_combination(points, np.ones(6), np.array([0.5, 0.25, -0.2501]))


def test_least_cost_by_brute_force() -> None:
    """In the plane some triangle of points is optimal: try them all."""
    codec = gaussian(4, 2)
    points, squares = codec._set.points, codec._set.squares
    for v in directions(2, 20) * 0.9:
        best = math.inf
        for three in itertools.combinations(range(16), 3):
            a = np.linalg.lstsq(np.vstack([points[list(three)].T, np.ones(3)]), np.append(v, 1), rcond=None)[
                0
            ]
            if np.abs(a @ points[list(three)] - v).max() < 1e-9 and a.min() > -1e-12:
                best = min(best, float(a @ squares[list(three)]))
        indices, weights = codec._set.combination(v)
        assert weights @ squares[indices] == pytest.approx(best, rel=1e-9)


# ---- Gaussian points ---------------------------------------------------------------------------------------


def gaussian(bits: int, dim: int, seed: int = 1) -> Gaussian:
    codec = parse(f"gaussian({bits}, seed={seed})", dim)
    assert isinstance(codec, Gaussian)
    return codec


@pytest.mark.parametrize(("bits", "dim"), [(2, 1), (4, 2), (8, 3), (6, 4), (10, 6), (7, 9), (9, 40)])
def test_combinations_of_gaussian_points_are_exact(bits: int, dim: int) -> None:
    """To 1e-14, whatever the solver's tolerance; at most dim + 1 points, and none with a negative weight."""
    codec = gaussian(bits, dim)
    for x in directions_of(dim, 20):
        length = codec._norm_estimate(GradientVector.of(x, dim)).value
        indices, weights = codec._set.combination(x / length)
        points = codec._set.points[indices]
        assert (
            (weights >= 0).all() and weights.sum() == pytest.approx(1, abs=1e-15) and weights.size <= dim + 1
        )
        assert np.abs(weights @ points - x / length).max() <= 1e-14 * codec.radius


def directions_of(dim: int, count: int) -> F64:
    x = np.vstack(
        [np.random.default_rng(dim).standard_normal((count, dim)), np.eye(dim)[:2], np.ones((1, dim))]
    )
    return x / np.linalg.norm(x, axis=1)[:, None]


@pytest.mark.parametrize(("bits", "dim"), [(4, 1), (6, 2), (8, 3), (8, 5), (10, 6)])
def test_hull_contains_the_ball(bits: int, dim: int) -> None:
    """[V] Theorem 6: every direction has a point at least 1 along it; here some has one hardly more, so h is tight."""
    points = gaussian(bits, dim)._set.points
    reach = (directions(dim, 20_000) @ points.T).max(axis=1)
    assert reach.min() >= 1
    assert dim > 3 or reach.min() < 1.02


def test_point_sets_are_symmetric() -> None:
    codec = gaussian(8, 5)
    points = codec._set.points
    assert (points[:128] == -points[128:]).all() and len(np.unique(points, axis=0)) == 256
    assert not np.array_equal(points, gaussian(8, 5, seed=2)._set.points)
    # Gaussian enough: fourth moment 3, thirds and eighths where they belong
    half = points[:128] / points.std()
    assert (half**4).mean() == pytest.approx(3, abs=0.7)
    assert (np.abs(half) < 0.6745).mean() == pytest.approx(0.5, abs=0.1)


def test_radius_of_the_theorem_is_not_tight() -> None:
    """V10: R^2 = 20 d / (ln |C| - 2 ln d) is many times what these points need."""
    for bits, dim in ((12, 3), (12, 6), (10, 4)):
        theorem = 20 * dim / (bits * math.log(2) - 2 * math.log(dim))
        assert gaussian(bits, dim).radius ** 2 < theorem / 3


@pytest.mark.parametrize(("bits", "dim"), [(6, 8), (7, 16), (8, 40)])
def test_gauges_beyond_one(bits: int, dim: int) -> None:
    """Where the hull is not known to hold the ball, a gradient outside it is sent with its gauge: still unbiased."""
    codec = gaussian(bits, dim)
    lengths = [codec._norm_estimate(GradientVector.of(x, dim)).value for x in directions_of(dim, 12)]
    assert 1 < max(lengths) <= codec._set.largest_gauge
    assert all(codec.variance_at(x) <= codec.variance() for x in directions_of(dim, 4))


def test_fewer_bits_for_less_noise_than_repeated_axes() -> None:
    """[V] Theorem 7: at d = 40 and 12 bits the noise is a quarter of two cross-polytope draws (14 bits)."""
    codec, axes = gaussian(12, 40), parse("cross_polytope(repeats=2)", 40)
    x = directions_of(40, 1)[0]
    assert codec.nbits < axes.nbits and codec.variance_at(x) < axes.variance_at(x) / 3


def test_same_points_on_every_machine() -> None:
    """The first coordinates of a seed, as integers over 1024 before they are scaled."""
    first = np.rint(_normals(1, 0, 8, 2) * 1024)
    assert first[:2].tolist() == [[-730, 970], [-44, 109]]
    points = gaussian(4, 2)._set.points
    assert points[:8] / points[0, 0] == pytest.approx(first / first[0, 0], abs=1e-12)
