"""The Bregman projection onto a box: against a general solver, and the condition that it must meet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.training.optimizers.balls import norm
from gradwire.common.training.optimizers.boxes import project_onto_box
from gradwire.common.training.optimizers.mirror import mirror


@pytest.mark.parametrize("p", [1.25, 1.5, 1.9, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_point_of_least_distance(p: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, side = rng.normal(size=5), 0.4
    theta = mirror(y, p)

    def distance(x: np.ndarray) -> float:
        return norm(x, p) ** 2 / (2 * (p - 1)) - float(theta @ x)

    solved = minimize(
        distance, np.clip(y, -side, side) / 2, jac=lambda x: mirror(x, p) - theta, method="L-BFGS-B",
        bounds=[(-side, side)] * 5, options={"ftol": 1e-15, "gtol": 1e-11},
    )  # fmt: skip
    found = project_onto_box(y, p, side)
    assert np.abs(found).max() <= side and np.abs(y).max() > side
    assert distance(found) <= solved.fun + 1e-13
    np.testing.assert_allclose(found, solved.x, atol=1e-5)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.floats(1.1, 2.0), st.floats(0.01, 5.0))
def test_coordinates_inside_keep_their_gradient(values: list[float], p: float, side: float) -> None:
    y = np.array(values)
    x = project_onto_box(y, p, side)
    if np.abs(y).max() <= side:
        assert (x == y).all()
        return
    inside = np.abs(x) < side
    before, after = mirror(y, p), mirror(x, p)
    assert np.allclose(after[inside], before[inside], rtol=1e-9, atol=1e-9 * np.abs(before).max())
    assert (np.abs(before) >= np.abs(after) * (1 - 1e-9))[~inside].all()
    assert (x * y >= 0).all()


def test_a_radial_projection_is_another_point() -> None:
    """The coordinate inside grows, where clipping leaves it and scaling shrinks it."""
    y = np.array([4.0, 0.1])
    x = project_onto_box(y, 1.5, 1.0)
    assert x[0] == 1.0 and 0.1 < x[1] < 1.0


def test_extreme_inputs_stay_in_the_box() -> None:
    x = project_onto_box(np.array([1e300, -1e200, 1.0, 0.0]), 1.05, 1e-3)
    assert np.isfinite(x).all() and np.abs(x).max() == 1e-3 and x[3] == 0


def test_mirror_descent_walks_in_its_box() -> None:
    model = Model(
        np.full(3, 2.0, np.float32), parse_optimizer("mirror_descent(lr=0.1, radius=0.25, p=1.5, domain=box)")
    )
    for _ in range(200):
        model.apply(np.array([1.0, -0.5, 0.0], np.float32))
    np.testing.assert_allclose(model.params, [1.75, 2.25, 2.0], atol=1e-6)


def test_projected_sgd_of_infinite_p_clips() -> None:
    model = Model(np.zeros(3, np.float32), parse_optimizer("projected_sgd(lr=1.0, radius=0.5, p=inf)"))
    model.apply(np.array([2.0, -0.25, 0.0], np.float32))
    assert model.params.tolist() == [-0.5, 0.25, 0.0]
