"""Vectors as convex combinations of points by linear programming, exact to float64 and not to a solver's tolerance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradwire.common.arrays.compat import F64, I64
from gradwire.common.errors import DomainError

# The solver accepts a weight of -1e-10 as feasible. Its weights add up to SCALE, so that such an error is 2e-15.
SCALE = 2.0**16
TOLERANCE = 1e-10
# The dual simplex ends about once in 3,000 programs without a result: numerical trouble, which the others do not share.
ATTEMPTS = (("highs-ds", SCALE), ("highs-ipm", SCALE), ("highs-ds", 1.0))
RESIDUAL = 1e-12  # relative to the longest point; a combination with a larger one is refused


class Combination(NamedTuple):
    """Weights float64 [k] of the points int64 [k]; at most dim + 1 of them, none negative."""

    indices: I64
    weights: F64


def gauge(points: F64, x: F64) -> Combination:
    """The non-negative weights a_i with the least sum among those with sum a_i c_i = x.

    That sum is the gauge of x, the factor by which x exceeds the hull of the points.

    Args:
        points: float64 [n, dim], whose hull has the origin in its interior.
        x: float64 [dim], about as long as the points.

    Raises:
        DomainError: the solver fails, or its result is not accurate.
    """
    return _basic_solution(points.T, np.ones(points.shape[0]), x)


def convex_combination(points: F64, costs: F64, x: F64) -> Combination:
    """The non-negative weights that add up to 1, have sum a_i c_i = x, and among those the least sum a_i costs_i.

    Args:
        points: float64 [n, dim].
        costs: float64 [n].
        x: float64 [dim], in the hull of the points.

    Raises:
        DomainError: x lies outside the hull, or the solver's result is not accurate.
    """
    rows = np.vstack([points.T, np.ones(points.shape[0])])
    found = _basic_solution(rows, costs, np.append(x, 1.0))
    return found._replace(weights=found.weights / found.weights.sum())


def _basic_solution(rows: F64, costs: F64, right: F64) -> Combination:
    """A vertex of {a >= 0, rows a = right} that minimises costs·a.

    A solver of [HiGHS] finds which weights are not zero. Their values are then solved for in float64 with one
    refinement, so that unbiasedness does not depend on the solver's tolerance.
    """
    found = _solve(rows, costs, right)
    indices = np.flatnonzero(found > 0)
    basis = rows[:, indices]
    weights = np.linalg.lstsq(basis, right, rcond=None)[0]
    weights += np.linalg.lstsq(basis, right - basis @ weights, rcond=None)[0]
    weights = np.maximum(weights, 0.0)
    residual = float(np.abs(basis @ weights - right).max())
    longest = float(np.abs(rows).max())
    if residual > RESIDUAL * longest:
        raise DomainError(
            f"the combination of the points is off by {residual:.1e}, expected {RESIDUAL * longest:.1e}"
        )
    return Combination(indices, weights)


def _solve(rows: F64, costs: F64, right: F64) -> F64:
    from scipy.optimize import linprog

    options = {"primal_feasibility_tolerance": TOLERANCE, "dual_feasibility_tolerance": TOLERANCE}
    for method, scale in ATTEMPTS:
        found = linprog(
            costs, A_eq=rows, b_eq=right * scale, bounds=(0, None), method=method, options=options
        )
        if found.x is not None:
            weights: F64 = found.x
            return weights
    raise DomainError(f"no combination of the points gives this gradient: {' '.join(found.message.split())}")
