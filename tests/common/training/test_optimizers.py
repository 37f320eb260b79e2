"""Optimizers: their steps against independent formulas, their guarantees on problems with a known optimum."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.arrays.update import Sparse
from gradwire.common.codecs import parse
from gradwire.common.downlinks import resolve_downlink
from gradwire.common.errors import SpecError
from gradwire.common.spec import parse_spec
from gradwire.common.training.config import RunConfig
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import optimizers, parse_optimizer
from gradwire.common.training.optimizers.balls import norm, project
from gradwire.common.training.optimizers.mirror import mirror, unmirror
from gradwire.common.training.optimizers.portable import ROW
from gradwire.common.transport.specs import spec_from_message, spec_to_message

SPECS = (
    "sgd(lr=0.1)",
    "sgd(lr=0.1, momentum=0.9)",
    "sgd(lr=0.5, schedule=step, every=3, factor=0.5)",
    "projected_sgd(lr=0.1, radius=0.5)",
    "projected_sgd(lr=0.1, radius=0.5, p=inf)",
    "mirror_descent(lr=0.05, radius=2.0)",
    "mirror_descent(lr=0.05, radius=0.2, domain=box)",
    "averaged(sgd(lr=0.1, momentum=0.5))",
    "averaged(mirror_descent(lr=0.05))",
    "sgd(lr=0.1, weight_decay=0.2, schedule=warmup(3, cosine(7)))",
    "sgd(lr=0.1, momentum=0.9, weight_decay=0.2)",
    "nesterov(lr=0.7, momentum=0.9, weight_decay=0.1)",
    "adam",
    "adam(beta1=0, weight_decay=0.5, schedule=linear(9, final=0.1))",
    "adam(bias_correction=false, initial=1e-4, eps=0.01)",
    "adamw(lr=0.01, weight_decay=0.5)",
    "yogi",
    "adagrad",
    "adagrad(beta1=0.9, initial=0.1)",
    *(
        f"clipped(0.5, {inner})"
        for inner in ("sgd(lr=0.1)", "nesterov", "adamw", "yogi", "adagrad", "mirror_descent")
    ),
    *(f"averaged({inner})" for inner in ("nesterov", "adam", "yogi", "adagrad", "projected_sgd")),
    "averaged(clipped(0.5, adam(schedule=warmup(2))))",
    "clipped(100.0, averaged(sgd))",
)
UPDATES = np.random.default_rng(0).normal(size=(12, 7)).astype(np.float32)


def run(spec: str, updates: np.ndarray = UPDATES) -> Model:
    model = Model(np.linspace(-1, 1, updates.shape[1], dtype=np.float32), parse_optimizer(spec))
    for update in updates:
        model.apply(update)
    return model


# ---- what holds for every optimizer and wrapper ----------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS)
def test_spec_round_trips_and_snapshots_carry_all_state(spec: str) -> None:
    optimizer = parse_optimizer(spec)
    assert parse_optimizer(optimizer.spec) == optimizer
    assert parse_optimizer(spec_from_message(spec_to_message(parse_spec(optimizer.spec)))) == optimizer
    half, whole = run(spec, UPDATES[:6]), run(spec)
    again = Model(np.zeros(7, np.float32), optimizer)
    again.restore(half.snapshot(), 6)
    for update in UPDATES[6:]:
        again.apply(update)
    assert again.snapshot() == whole.snapshot() and again.digest == whole.digest


@pytest.mark.parametrize("spec", SPECS)
def test_state_is_float32_and_as_long_as_the_parameters(spec: str) -> None:
    optimizer, params = parse_optimizer(spec), np.linspace(-1, 1, 7, dtype=np.float32)
    state, before = optimizer.initial_state(params), params.copy()
    arrays = list(state.values())
    assert all(array.dtype == np.float32 and array.shape == (7,) for array in arrays)
    assert not any(
        np.shares_memory(a, b) for a in arrays for b in [params, *(c for c in arrays if c is not a)]
    )
    optimizer.step(params, state, UPDATES[0], 0)
    assert all(state[name] is array for name, array in zip(state, arrays, strict=True)), "stepped in place"
    assert params.dtype == np.float32 and (params != before).any()


@pytest.mark.parametrize("spec", SPECS)
def test_step_is_a_function_of_its_arguments(spec: str) -> None:
    """No memory in the object: an optimizer that has made other steps makes the same one; updates stay as they are."""
    fresh, used = parse_optimizer(spec), parse_optimizer(spec)
    run(spec)
    model = Model(np.ones(7, np.float32), used)
    model.apply(UPDATES[3])
    arrays = []
    for optimizer in (fresh, used):
        params, update = np.linspace(-1, 1, 7, dtype=np.float32), UPDATES[1].copy()
        state = optimizer.initial_state(params)
        optimizer.step(params, state, update, 5)
        assert (update == UPDATES[1]).all()
        arrays.append([params, *state.values()])
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*arrays, strict=True))


@pytest.mark.parametrize("spec", SPECS)
def test_sparse_and_dense_updates_make_the_same_step(spec: str) -> None:
    dense, sparse = run(spec, UPDATES[:1]), run(spec, UPDATES[:1])
    assert dense.digest == sparse.digest
    for values in (np.array([0.5, -2.0], np.float32), np.array([0.25, 0.125], np.float32)):
        full, before = np.zeros(7, np.float32), sparse.params.copy()
        full[[1, 4]] = values
        dense.apply(full)
        sparse.apply(Sparse(7, np.array([1, 4]), values))
        assert dense.snapshot() == sparse.snapshot() and dense.digest == sparse.digest
        if sparse.optimizer.sparse:
            assert (sparse.params != before).tolist() == [False, True, False, False, True, False, False]


@pytest.mark.parametrize("spec", SPECS)
def test_zero_update(spec: str) -> None:
    """Without momentum nothing moves but what the weight decay moves, and nothing divides by zero."""
    start, zeros = np.linspace(-1, 1, 7, dtype=np.float32), np.zeros((3, 7), np.float32)
    moved = run(spec, zeros).params
    assert np.isfinite(moved).all()
    if "weight_decay" not in spec and "adamw" not in spec:
        assert np.allclose(moved, start, atol=1e-6 if "mirror" in spec else 0)
    else:
        assert (np.abs(moved)[start != 0] < np.abs(start)[start != 0]).all() and moved[3] == 0


@pytest.mark.parametrize("spec", [s for s in SPECS if not re.search("clipped|projected|mirror", s)])
def test_blocks_do_not_matter(spec: str) -> None:
    """A vector of several blocks steps as each of its parts do, unless a norm of the whole takes part."""
    size = 2 * ROW + 5
    updates = np.random.default_rng(1).normal(size=(2, size)).astype(np.float32)
    parts = [np.s_[: ROW - 3], np.s_[ROW - 3 : 2 * ROW + 1], np.s_[2 * ROW + 1 :]]
    optimizer, start = parse_optimizer(spec), np.linspace(-1, 1, size, dtype=np.float32)
    whole, models = Model(start, optimizer), [Model(start[part], optimizer) for part in parts]
    for update in updates:
        whole.apply(update)
        for model, part in zip(models, parts, strict=True):
            model.apply(update[part])
    for name in whole.state:
        assert np.concatenate([m.state[name] for m in models]).tobytes() == whole.state[name].tobytes()
    assert np.concatenate([m.params for m in models]).tobytes() == whole.params.tobytes()


@pytest.mark.parametrize("spec", SPECS)
def test_restarted_optimizer_has_a_later_rate_and_nothing_else(spec: str) -> None:
    optimizer = parse_optimizer(spec)
    assert optimizer.restarted(0) == optimizer and optimizer.restarted(4).spec == optimizer.spec
    again = Model(np.linspace(-1, 1, 7, dtype=np.float32), optimizer.restarted(4))
    for update in UPDATES[:3]:
        again.apply(update)
    assert (again.snapshot() == run(spec, UPDATES[:3]).snapshot()) != ("schedule" in spec)


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
    ["sgd(lr=0)", "sgd(momentum=1)", "sgd(schedule=cosines)", "projected_sgd(p=0.5)", "mirror_descent(p=2)",
     "mirror_descent(domain=cube)",
     "averaged(adams)", "sgd(lr=nan)", "projected_sgd(radius=0)", "sgd(schedule=step, every=0)",
     "sgd(weight_decay=-1)", "adam(beta1=1)", "adam(beta2=-0.1)", "adam(eps=0)", "adam(initial=0.1)",
     "adamw(weight_decay=inf)",
     "yogi(beta2=1)", "adagrad(initial=-1)", "nesterov(momentum=1)", "clipped(norm=0)", "clipped(1.0, adams)",
     "averaged(averaged(sgd))", "averaged(clipped(inner=averaged(sgd)))"],
)  # fmt: skip
def test_bad_parameters(spec: str) -> None:
    with pytest.raises(SpecError, match=r"expected|known|did you mean") as caught:
        parse_optimizer(spec)
    assert "\n" not in str(caught.value)


def test_inexact_optimizers_step_at_the_server_only() -> None:
    config = RunConfig(task="synthetic(dim=100)", optimizer="averaged(mirror_descent)")
    assert resolve_downlink(config, parse(config.codec, 100)).spec == "model"
