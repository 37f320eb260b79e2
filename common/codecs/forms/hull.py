"""How far the hull of a point set reaches: whether it contains the unit ball, as [V] Theorem 6 asks."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from gradwire.common.arrays.compat import F64

FACETS_DIM = 6  # the largest dimension at which all facets of a hull are computed
DIRECTIONS = 1024  # public directions in which the support is measured at larger dimensions
# Values of all the linear programs that a local search begins with; from as many starts, within these limits.
SEARCHED = 1 << 19
LEAST_STARTS, MOST_STARTS, STEPS = 2, 16, 4


class Reach(NamedTuple):
    """The radius of the largest ball around the origin that a hull contains.

    [V] Theorem 6: the hull of C contains the ball of radius r if and only if max_c <c, u> >= r for every unit u.

    Attributes:
        low: a proven lower bound of that radius; zero or negative where the origin is not inside.
        high: an upper bound, max_c <c, direction>; equal to ``low`` where all facets are known.
        direction: float64 [dim], a unit vector.
    """

    low: float
    high: float
    direction: F64


def reach(points: F64) -> Reach:
    """How far the hull of points [n, dim] reaches in its shortest direction.

    Exact for dim + 1 points and up to ``FACETS_DIM`` dimensions. Beyond, deciding whether a hull contains a ball is
    coNP-hard: the upper bound comes from random directions and a local search from the worst of them, the lower bound
    from second moments (``second_moment_reach``), which settles tight frames such as the cross-polytope.
    """
    outside = _separating(points)
    if outside is not None:
        short = support(points, outside)
        return Reach(short, short, outside)
    count, dim = points.shape
    if count == dim + 1:
        return _of_simplex(points)
    if dim == 1:
        end = min((-1.0, 1.0), key=lambda sign: float((sign * points).max()))
        return Reach(float((end * points).max()), float((end * points).max()), np.array([end]))
    if dim <= FACETS_DIM:
        return _of_facets(points)
    direction = _shortest_direction(points)
    high = support(points, direction)
    return Reach(min(high, second_moment_reach(points)), high, direction)


def support(points: F64, direction: F64) -> float:
    """max_c <c, u> of points [n, dim] for a unit vector [dim]."""
    return float((points @ direction).max())


def inradius(points: F64) -> float:
    """The distance from the origin, which is inside, to the nearest facet of the hull of points [n, dim]."""
    if points.shape[1] == 1:
        return min(float(points.max()), -float(points.min()))
    return _of_facets(points).low


def second_moment_reach(points: F64) -> float:
    """A lower bound of the reach from weights a > 0 with sum a_i c_i = 0; 0 where no such weights are found.

    Let s be the least eigenvalue of M = sum a_i c_i c_i^T, R the length of the longest point, h = max_c <c, u>. Then
    s <= sum a_i <c_i, u>^2 <= m (h + R), m = sum of a_i <c_i, u> over its positive terms, which is that over its
    negative ones and at most h; so h (h + R) >= s. Where -c is a point for every point c, |<c, u>| <= h and h^2 >= s.
    """
    symmetric = bool(_is_symmetric(points))
    weights = np.full(len(points), 1 / len(points)) if symmetric else _balanced_weights(points)
    if weights is None:
        return 0.0
    moment = (points * weights[:, None]).T @ points
    # Less what rounding may have added
    least = float(np.linalg.eigvalsh(moment)[0]) - 1e-12 * float(np.trace(moment))
    if least <= 0:
        return 0.0
    if symmetric:
        return math.sqrt(least)
    longest = math.sqrt(float((points**2).sum(axis=1).max()))
    return 2 * least / (longest + math.sqrt(longest**2 + 4 * least))


def _of_facets(points: F64) -> Reach:
    from scipy.spatial import ConvexHull

    equations = ConvexHull(points).equations
    nearest = int(equations[:, -1].argmax())
    distance = float(-equations[nearest, -1])
    return Reach(distance, distance, equations[nearest, :-1].copy())


def _of_simplex(points: F64) -> Reach:
    """Weight i of v is b_i + <w_i, v>, so the facet without point i is at distance b_i / |w_i| in direction -w_i."""
    rows = np.linalg.inv(np.vstack([points.T, np.ones(len(points))]))
    lengths = np.linalg.norm(rows[:, :-1], axis=1)
    distances = rows[:, -1] / lengths
    nearest = int(distances.argmin())
    distance = float(distances[nearest])
    return Reach(distance, distance, -rows[nearest, :-1] / lengths[nearest])


def _separating(points: F64) -> F64 | None:
    """A unit vector u with <c, u> <= 0 for all points; None where there is none, so that the origin is inside."""
    from scipy.optimize import linprog

    scale = float(np.abs(points).max()) or 1.0
    scaled = points / scale
    dim = points.shape[1]
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    if values[0] <= 1e-14 * len(points):  # all points are in a hyperplane through the origin
        return np.asarray(vectors[:, 0])
    found = linprog(scaled.sum(axis=0), A_ub=scaled, b_ub=np.zeros(len(points)), bounds=[(-1, 1)] * dim)
    if found.x is None or found.fun > -1e-9:
        return None
    direction: F64 = found.x / np.linalg.norm(found.x)
    return direction


def _balanced_weights(points: F64) -> F64 | None:
    """Weights a [n] of sum 1 with sum a_i c_i = 0 whose least is as large as possible; None where that is not above 0.

    What the solver leaves of the sum is taken off the bound by the caller's margins, as it is below 1e-9 of the points.
    """
    from scipy.optimize import linprog

    count, dim = points.shape
    rows = np.vstack([points.T / np.abs(points).max(), np.ones(count)])
    rows = np.column_stack([rows, rows.sum(axis=1)])  # of the excess of each weight, then of the least weight
    cost = np.append(np.zeros(count), -1.0)
    found = linprog(cost, A_eq=rows, b_eq=np.append(np.zeros(dim), 1.0), bounds=(0, None))
    if found.x is None or found.x[-1] <= 1e-9:
        return None
    weights: F64 = found.x[:-1] + found.x[-1]
    balanced: F64 = weights / weights.sum()
    return balanced


def _is_symmetric(points: F64) -> bool:
    """Whether -c is a point for every point c, each as often."""
    ordered = points[np.lexsort(points.T)]
    opposite = -points
    return bool(np.array_equal(ordered, opposite[np.lexsort(opposite.T)]))


# ---- the search for a direction in which the hull is short -------------------------------------------------


def _shortest_direction(points: F64) -> F64:
    """A unit vector in which the support is least among those found, the normal of a facet.

    In the polar set {z: <c, z> <= 1 for all c} the farthest z has length 1 / reach. From each start u, z = argmax <u,
    z> is a vertex of it, one linear program away, and repeating that with u = z never makes z shorter.
    """
    starts = np.random.Generator(np.random.Philox(key=1)).standard_normal((DIRECTIONS, points.shape[1]))
    starts = np.vstack([starts, np.eye(points.shape[1]), -np.eye(points.shape[1]), *_flattest(points)])
    starts /= np.linalg.norm(starts, axis=1)[:, None]
    supports = np.concatenate([(part @ points.T).max(axis=1) for part in np.array_split(starts, 16)])
    count = min(MOST_STARTS, max(LEAST_STARTS, SEARCHED // points.size))
    worst = starts[np.argsort(supports, kind="stable")[:count]]
    found = [starts[int(supports.argmin())], *(_farthest(points, start) for start in worst)]
    return min(found, key=lambda direction: support(points, direction))


def _flattest(points: F64) -> tuple[F64, F64]:
    """The eigenvector of the least second moment and its opposite."""
    _, vectors = np.linalg.eigh(points.T @ points)
    return vectors[:, 0][None], -vectors[:, 0][None]


def _farthest(points: F64, start: F64) -> F64:
    from scipy.optimize import linprog

    direction, length = start, 0.0
    for _ in range(STEPS):
        found = linprog(-direction, A_ub=points, b_ub=np.ones(len(points)), bounds=(None, None))
        if found.x is None or not np.linalg.norm(found.x) > length * (1 + 1e-9):
            break
        length = float(np.linalg.norm(found.x))
        direction = found.x / length
    return direction
