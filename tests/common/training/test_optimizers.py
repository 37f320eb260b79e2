"""Optimizers: their steps against independent formulas, their guarantees on problems with a known optimum."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.arrays.update import Sparse
from gradwire.common.codecs import parse
from gradwire.common.downlinks import resolve_downlink
from gradwire.common.errors import SpecError
from gradwire.common.training.config import RunConfig
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import optimizers, parse_optimizer
from gradwire.common.training.optimizers.balls import norm, ordered_sum, project
from gradwire.common.training.optimizers.mirror import mirror, unmirror

SPECS = (
    "sgd(lr=0.1)",
    "sgd(lr=0.1, momentum=0.9)",
    "sgd(lr=0.5, schedule=step, every=3, factor=0.5)",
    "projected_sgd(lr=0.1, radius=0.5)",
    "projected_sgd(lr=0.1, radius=0.5, p=inf)",
    "mirror_descent(lr=0.05, radius=2.0)",
    "averaged(sgd(lr=0.1, momentum=0.5))",
    "averaged(mirror_descent(lr=0.05))",
)
UPDATES = np.random.default_rng(0).normal(size=(12, 7)).astype(np.float32)


def run(spec: str, updates: np.ndarray = UPDATES) -> Model:
    model = Model(np.linspace(-1, 1, updates.shape[1], dtype=np.float32), parse_optimizer(spec))
    for update in updates:
        model.apply(update)
    return model


@pytest.mark.parametrize("spec", SPECS)
def test_spec_round_trips_and_snapshots_carry_all_state(spec: str) -> None:
    optimizer = parse_optimizer(spec)
    assert parse_optimizer(optimizer.spec) == optimizer
    half, whole = run(spec, UPDATES[:6]), run(spec)
    again = Model(np.zeros(7, np.float32), optimizer)
    again.restore(half.snapshot(), 6)
    for update in UPDATES[6:]:
        again.apply(update)
    assert again.snapshot() == whole.snapshot() and again.digest == whole.digest


@pytest.mark.parametrize("spec", SPECS)
def test_sparse_and_dense_updates_make_the_same_step(spec: str) -> None:
    dense, sparse = run(spec, UPDATES[:1]), run(spec, UPDATES[:1])
    values = np.array([0.5, -2.0], np.float32)
    full = np.zeros(7, np.float32)
    full[[1, 4]] = values
    dense.apply(full)
    sparse.apply(Sparse(7, np.array([1, 4]), values))
    assert dense.snapshot() == sparse.snapshot()


def test_every_optimizer_is_tested() -> None:
    assert {parse_optimizer(s).name for s in SPECS} == set(optimizers())


def test_momentum_and_schedules() -> None:
    params, velocity = np.linspace(-1, 1, 7), np.zeros(7)
    for update in UPDATES:
        velocity = 0.9 * velocity + update
        params = params - 0.1 * velocity
    assert np.allclose(run("sgd(lr=0.1, momentum=0.9)").params, params, atol=1e-5)
    stepped = np.linspace(-1, 1, 7) - sum(0.5 * 0.5 ** (t // 3) * u for t, u in enumerate(UPDATES))
    assert np.allclose(run("sgd(lr=0.5, schedule=step, every=3, factor=0.5)").params, stepped, atol=1e-5)
    rooted = np.linspace(-1, 1, 7) - sum(0.5 / math.sqrt(t + 1) * u for t, u in enumerate(UPDATES))
    assert np.allclose(run("sgd(lr=0.5, schedule=inverse_sqrt)").params, rooted, atol=1e-5)


def test_average_is_that_of_the_iterates() -> None:
    inner = Model(np.linspace(-1, 1, 7, dtype=np.float32), parse_optimizer("sgd(lr=0.1)"))
    stepped, followed = (run("averaged(sgd(lr=0.1))", UPDATES[:0]) for _ in range(2))
    iterates = []
    for update in UPDATES:
        inner.apply(update)
        stepped.apply(update)
        followed.replace(inner.params)
        iterates.append(inner.params.copy())
    assert np.allclose(stepped.reported, np.mean(iterates, axis=0), atol=1e-6)
    assert (followed.reported == stepped.reported).all() and (stepped.params == inner.params).all()


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=9), st.sampled_from([1.0, 1.5, 2.0, 3.0, math.inf]))
def test_projection_is_the_nearest_point_of_the_ball(values: list[float], p: float) -> None:
    x = np.array(values)
    y = project(x, p, 1.0)
    assert norm(y, p) <= 1 + 1e-9
    rng = np.random.default_rng(0)
    for _ in range(20):  # the variational inequality: no point z of the ball has (x - y, z - y) > 0
        z = rng.normal(size=x.size)
        z *= rng.random() / max(norm(z, p), 1e-12)
        assert (x - y) @ (z - y) <= 1e-6


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=9), st.floats(1.05, 2.0))
def test_mirror_map_and_inverse(values: list[float], p: float) -> None:
    x = np.array(values)
    assert np.allclose(unmirror(mirror(x, p), p), x, atol=1e-7 * (1 + np.abs(x).max()))


def test_ordered_sum_is_a_sum() -> None:
    x = np.random.default_rng(0).normal(size=1000)
    assert ordered_sum(x) == pytest.approx(math.fsum(x), abs=1e-12) and ordered_sum(np.zeros(0)) == 0


def gap(spec: str, dim: int, rounds: int, noise: float) -> float:
    """How far the mean iterate is from optimal on a linear function over an l_p ball, with noisy gradients."""
    rng = np.random.default_rng(3)
    slope = rng.choice([-1.0, 1.0], dim)
    model = Model(np.zeros(dim, np.float32), parse_optimizer(f"averaged({spec})"))
    for _ in range(rounds):
        model.apply((slope + noise * rng.normal(size=dim)).astype(np.float32))
    return float(slope @ model.reported)


def test_mirror_descent_meets_its_bound() -> None:
    """theory 2.5 for p = 1: the gap is at most e alpha sqrt(ln d / T), alpha the largest |gradient|_inf."""
    dim, rounds, noise = 1000, 400, 0.5
    alpha, p = 1 + 4.5 * noise, 1 + 1 / math.log(dim)
    rate = math.sqrt(1 / ((p - 1) * rounds)) / (math.e * alpha)
    optimum = -norm(np.ones(dim), p / (p - 1))  # over the l_{p'} ball of radius 1
    reached = gap(f"mirror_descent(lr={rate!r}, radius=1.0)", dim, rounds, noise)
    assert optimum - 1e-6 <= reached <= optimum + math.e * alpha * math.sqrt(math.log(dim) / rounds)


def test_projected_sgd_meets_its_bound() -> None:
    dim, rounds, noise = 100, 400, 0.5
    alpha = math.sqrt(dim * (1 + noise**2))
    reached = gap(f"projected_sgd(lr={1 / (alpha * math.sqrt(rounds))!r}, radius=1.0)", dim, rounds, noise)
    assert -math.sqrt(dim) - 1e-6 <= reached <= -math.sqrt(dim) + 1.1 * alpha / math.sqrt(rounds)


@pytest.mark.parametrize(
    "spec",
    ["sgd(lr=0)", "sgd(momentum=1)", "sgd(schedule=cosine)", "projected_sgd(p=0.5)", "mirror_descent(p=2)",
     "averaged(adam)", "sgd(lr=nan)", "projected_sgd(radius=0)", "sgd(schedule=step, every=0)"],
)  # fmt: skip
def test_bad_parameters(spec: str) -> None:
    with pytest.raises(SpecError, match=r"expected|known|did you mean") as caught:
        parse_optimizer(spec)
    assert "\n" not in str(caught.value)


def test_inexact_optimizers_step_at_the_server_only() -> None:
    config = RunConfig(task="synthetic(dim=100)", optimizer="averaged(mirror_descent)")
    assert resolve_downlink(config, parse(config.codec, 100)).spec == "model"
