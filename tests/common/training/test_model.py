"""The model as a fold, and its digest: the same bits by every way, and no other parameters with the same digest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from gradwire.common.arrays.update import Sparse, Vector, as_dense
from gradwire.common.errors import LogError
from gradwire.common.training.digest import SLAB, digest_of, digest_terms
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import Optimizer, parse_optimizer
from gradwire.common.training.optimizers.sgd import SGD

F32 = NDArray[np.float32]
DIM = 40
FLOATS = st.floats(-100, 100, width=32)
ANY_FLOAT = st.floats(width=32)  # NaN, infinities, both zeros


@dataclass(frozen=True, kw_only=True)
class Momentum(Optimizer):
    """A toy with two arrays of state and dense steps; not registered."""

    name = "momentum"

    def initial_state(self, params: F32) -> dict[str, F32]:
        return {"velocity": np.zeros_like(params), "count": np.zeros_like(params)}

    def step(self, params: F32, state: dict[str, F32], update: Vector, round_: int) -> None:
        state["velocity"] *= np.float32(0.9)
        state["velocity"] += as_dense(update)
        state["count"] += as_dense(update) != 0
        params -= state["velocity"]


OPTIMIZERS = st.sampled_from([SGD(lr=0.1), SGD(lr=0.5, schedule="inverse_sqrt"), Momentum()])
PARAMS = arrays(np.float32, DIM, elements=FLOATS)


@st.composite
def sparse_updates(draw: st.DrawFn) -> Sparse:
    indices = draw(st.lists(st.integers(0, DIM - 1), unique=True).map(sorted))
    values = draw(arrays(np.float32, len(indices), elements=FLOATS))
    return Sparse(DIM, np.array(indices, np.int64), values)


UPDATES = st.lists(st.one_of(sparse_updates(), PARAMS), max_size=6)


# ---- the fold -------------------------------------------------------------------------------------------------------


@given(PARAMS, OPTIMIZERS, UPDATES, st.booleans())
def test_incremental_digest_equals_the_digest(
    params: F32, optimizer: Optimizer, updates: list[Vector], early: bool
) -> None:
    model = Model(params, optimizer)
    assert not early or model.digest == digest_of(params)
    for round_, update in enumerate(updates):
        model.apply(update)
        assert model.round == round_ + 1
        if early:
            assert model.digest == digest_of(model.params)
    assert model.digest == digest_of(model.params)
    assert model.verify()


@given(PARAMS, OPTIMIZERS, st.lists(sparse_updates(), max_size=6))
def test_dense_and_sparse_updates_give_the_same_bits(
    params: F32, optimizer: Optimizer, updates: list[Sparse]
) -> None:
    sparse, dense = Model(params, optimizer), Model(params, optimizer)
    for update in updates:
        sparse.apply(update)
        dense.apply(update.dense())
        assert sparse.digest == dense.digest
    assert sparse.snapshot() == dense.snapshot()


@given(PARAMS, OPTIMIZERS, UPDATES, UPDATES)
def test_restored_model_continues_bit_for_bit(
    params: F32, optimizer: Optimizer, before: list[Vector], after: list[Vector]
) -> None:
    model, restored = Model(params, optimizer), Model(np.ones(DIM, np.float32), optimizer)
    for update in before:
        model.apply(update)
    assert restored.digest == digest_of(np.ones(DIM, np.float32))
    restored.restore(model.snapshot(), model.round)
    for update in after:
        model.apply(update)
        restored.apply(update)
        assert restored.digest == model.digest
    assert (restored.snapshot(), restored.round) == (model.snapshot(), model.round)


@given(arrays(np.float32, DIM, elements=ANY_FLOAT))
def test_snapshot_round_trip(params: F32) -> None:
    model, restored = Model(params, Momentum()), Model(np.zeros(DIM, np.float32), Momentum())
    restored.restore(model.snapshot(), 3)
    assert restored.params.tobytes() == params.tobytes()
    assert restored.digest == digest_of(params)


def test_snapshot_layout() -> None:
    model = Model(np.array([1, -2], np.float32), Momentum())
    model.apply(np.array([0.5, 0], np.float32))
    assert model.snapshot() == np.array([0.5, -2, 1, 0, 0.5, 0], "<f4").tobytes()


@pytest.mark.parametrize(
    "change", [lambda s: s[:-4], lambda s: s + bytes(4), lambda s: s[: len(s) // 3], lambda _: b""]
)
def test_snapshot_of_another_model_is_refused(change: object) -> None:
    model = Model(np.ones(DIM, np.float32), Momentum())
    before = model.snapshot()
    assert callable(change)
    with pytest.raises(LogError, match="it belongs to another model"):
        model.restore(change(before), 5)
    assert (model.snapshot(), model.round) == (before, 0)


@given(PARAMS, PARAMS, UPDATES)
def test_replace_keeps_every_bit(params: F32, others: F32, updates: list[Vector]) -> None:
    model = Model(params, Momentum())
    for update in updates:
        model.apply(update)
    assert model.verify()
    state = {name: values.copy() for name, values in model.state.items()}
    model.replace(others)
    expected = (others.tobytes(), len(updates) + 1, digest_of(others))
    assert (model.params.tobytes(), model.round, model.digest) == expected
    assert all(np.array_equal(model.state[name], values) for name, values in state.items())


def test_model_copies_its_arrays() -> None:
    first, second = np.zeros(3, np.float32), np.ones(3, np.float32)
    model = Model(first, SGD(lr=1.0))
    model.replace(second)
    model.apply(np.ones(3, np.float32))
    assert (first.tolist(), second.tolist()) == ([0] * 3, [1] * 3)


def test_verify_finds_changed_parameters() -> None:
    model = Model(np.zeros(3, np.float32), SGD(lr=1.0))
    assert model.digest == digest_of(np.zeros(3, np.float32))
    model.params[1] = 1
    assert not model.verify()


# ---- the digest -----------------------------------------------------------------------------------------------------


def plain_digest(params: F32) -> int:
    """The definition, one coordinate at a time, in Python's integers."""
    total, wrap = 0, (1 << 64) - 1
    for i, bits in enumerate(params.view(np.uint32).tolist()):
        word = (i * 0x9E3779B97F4A7C15 + bits) & wrap
        word = ((word ^ word >> 30) * 0xBF58476D1CE4E5B9) & wrap
        word = ((word ^ word >> 27) * 0x94D049BB133111EB) & wrap
        total += word ^ word >> 31
    return total & wrap


@given(arrays(np.float32, st.integers(0, 60), elements=ANY_FLOAT))
def test_digest_follows_its_definition(params: F32) -> None:
    assert digest_of(params) == plain_digest(params)


def test_digest_is_pinned() -> None:
    # Logs hold digests: other values here are a change of the log's version.
    assert digest_of(np.arange(5, dtype=np.float32)) == 0xB7E1F53216A43EB5


@pytest.mark.parametrize("size", [SLAB - 1, SLAB, SLAB + 1, 2 * SLAB + 7])
def test_digest_does_not_depend_on_the_split(size: int) -> None:
    params = np.random.default_rng(size).standard_normal(size).astype(np.float32)
    cut, indices = size // 3, np.arange(size)
    parts = digest_terms(indices[:cut], params[:cut]) + digest_terms(indices[cut:], params[cut:])
    assert digest_of(params) == parts % 2**64
    assert digest_of(np.repeat(params, 2)[::2]) == digest_of(params)  # memory layout does not matter


@given(arrays(np.float32, 30, elements=ANY_FLOAT), st.integers(0, 29), st.integers(0, 31))
def test_one_flipped_bit_changes_the_digest(params: F32, at: int, bit: int) -> None:
    flipped = params.copy()
    flipped.view(np.uint32)[at] ^= np.uint32(1 << bit)
    assert digest_of(flipped) != digest_of(params)


@given(arrays(np.float32, 30, elements=ANY_FLOAT), st.permutations(range(30)))
def test_moved_values_change_the_digest(params: F32, order: list[int]) -> None:
    moved = params[order]
    assert (digest_of(moved) == digest_of(params)) == (moved.tobytes() == params.tobytes())


@given(st.data(), arrays(np.float32, 30, elements=ANY_FLOAT))
def test_two_exchanged_values_change_the_digest(data: st.DataObject, params: F32) -> None:
    i, j = data.draw(st.lists(st.integers(0, 29), min_size=2, max_size=2, unique=True))
    moved = params.copy()
    moved[[i, j]] = params[[j, i]]
    assert (digest_of(moved) == digest_of(params)) == (moved.tobytes() == params.tobytes())


def test_equal_changes_of_many_coordinates_do_not_cancel() -> None:
    params = np.random.default_rng(2).standard_normal(1000).astype(np.float32)
    changed = [
        -params,
        params + 1,
        params[::-1],
        np.roll(params, 1),
        np.abs(params),
        np.sort(params),
        params[:-1],
    ]
    digests = [digest_of(np.ascontiguousarray(p, np.float32)) for p in [params, *changed]]
    assert len(set(digests)) == len(digests)


# ---- averaged coordinates, and SCAFFOLD's control variate -----------------------------------------------------------


@given(PARAMS, OPTIMIZERS, UPDATES, st.integers(0, DIM - 1))
def test_averaged_coordinates_are_stepped_with_rate_1(
    params: F32, optimizer: Optimizer, updates: list[Vector], averaged: int
) -> None:
    """The trained ones as in a model of their own, whatever form the update has."""
    trained = DIM - averaged
    model, alone = Model(params, optimizer, averaged=averaged), Model(params[:trained], optimizer)
    tail = params[trained:].copy()
    for update in updates:
        dense = as_dense(update)
        model.apply(update)
        alone.apply(dense[:trained])
        tail -= dense[trained:]
    np.testing.assert_array_equal(model.params, np.concatenate([alone.params, tail]))
    assert model.verify() and all(array.shape == (trained,) for array in model.state.values())


@given(PARAMS, UPDATES, st.integers(0, DIM - 1))
def test_snapshots_of_models_with_averaged_coordinates(
    params: F32, updates: list[Vector], averaged: int
) -> None:
    options = {"averaged": averaged, "control_rate": 0.5}
    model, restored = (
        Model(params, Momentum(), **options),
        Model(np.ones(DIM, np.float32), Momentum(), **options),
    )
    for update in updates:
        model.apply(update, 0.5)
    assert len(model.snapshot()) == 4 * (DIM + 3 * (DIM - averaged))
    restored.restore(model.snapshot(), model.round)
    assert restored.snapshot() == model.snapshot() and restored.digest == model.digest
    with pytest.raises(LogError, match="belongs to another model"):
        Model(params, Momentum(), averaged=averaged).restore(model.snapshot(), model.round)


def test_the_evaluated_model_has_the_last_statistics() -> None:
    model = Model(np.ones(3, np.float32), parse_optimizer("averaged(sgd(lr=1.0))"), averaged=1)
    for _ in range(2):
        model.apply(np.array([1, 2, 4], np.float32))
    assert model.params.tolist() == [-1, -3, -7]
    assert model.reported.tolist() == [-0.5, -2, -7]


def test_control_variate_is_that_of_scaffold() -> None:
    """[Scaffold] equation 5, option II: c + |S| / N (mean (w - w_i) / (H lr) - c)."""
    model = Model(np.zeros(3, np.float32), SGD(lr=1.0), averaged=1, control_rate=1 / (4 * 0.25))
    model.apply(np.array([1, -2, 9], np.float32))
    assert model.state["control"].tolist() == [1, -2]
    model.apply(np.array([3, 2, 9], np.float32), share=0.25)
    assert model.state["control"].tolist() == [1.5, -1]
    model.apply(Sparse(3, np.array([0, 2]), np.array([1, 1], np.float32)), share=0.5)
    assert model.state["control"].tolist() == [1.25, -0.5]
    assert model.params.tolist() == [-5, 0, -19]


def test_control_variate_is_damped() -> None:
    damped = Model(np.zeros(2, np.float32), SGD(lr=1.0), control_rate=1.0, control_damping=0.25)
    damped.apply(np.array([1, -2], np.float32), share=0.5)
    assert damped.state["control"].tolist() == [0.125, -0.25]
