"""The tasks as a worker uses them: dimensions, determinism, errors, and that training improves them."""

import numpy as np
import pytest

from gradwire.common.errors import ConfigError, NotFiniteError, TaskError
from gradwire.worker.tasks import Task, build_task
from gradwire.worker.tasks.kinds.mlp import MlpModel
from gradwire.worker.tasks.kinds.softmax import SoftmaxModel
from tests.grids import rest_slow

BUILDABLE = [
    "synthetic(dim=50)", "least_squares(samples=60, dim=7)", "least_squares(samples=60, dim=7, batch=5)",
    "hard_instance(dim=50)",
    "softmax(digits)", "softmax(digits, batch=10)", "mlp(digits, hidden=9)", "mlp(digits, hidden=9, batch=10)",
]  # fmt: skip
buildable = pytest.mark.parametrize("text", BUILDABLE)


def descend(task: Task, workers: int, rounds: int, rate: float) -> np.ndarray:
    params = task.initial()
    for round in range(rounds):
        values = [task.gradient(params, round=round, worker=worker).value for worker in range(workers)]
        params = params - np.float32(rate) * np.mean(values, axis=0)
    return params


def test_dimensions_of_the_paper() -> None:
    """[V] section 7, without loading any data."""
    assert MlpModel(28 * 28, 1000, 10).dim == 795_010
    assert MlpModel(3 * 32 * 32, 4000, 10).dim == 12_332_010
    assert SoftmaxModel(64, 10).dim == 650


@buildable
def test_task_is_deterministic(text: str) -> None:
    """A worker that died and came back gives the same bits, whatever its process did before."""
    before, after = (build_task(text, workers=6, seed=3) for _ in range(2))
    assert isinstance(before, Task)
    params = before.initial()
    assert params.dtype == np.float32 and params.shape == (before.dim,)
    assert params.tobytes() == after.initial().tobytes()
    history = [before.gradient(params, round=r, worker=w) for r in (0, 1) for w in range(6)]
    again = after.gradient(params, round=1, worker=5)
    assert history[-1].value.tobytes() == again.value.tobytes() and history[-1].loss == again.loss
    assert before.evaluate(params) == after.evaluate(params)


@buildable
def test_gradients_differ_by_worker_and_are_not_reused(text: str) -> None:
    task = build_task(text, workers=6, seed=3)
    params = task.initial()
    first = task.gradient(params, round=0, worker=0).value
    kept = first.copy()
    assert not np.array_equal(first, task.gradient(params, round=0, worker=1).value)
    np.testing.assert_array_equal(first, kept)  # no buffer is reused behind the caller's back


@buildable
def test_read_only_parameters(text: str) -> None:
    task = build_task(text, workers=6, seed=3)
    params = task.initial()
    params.flags.writeable = False
    task.gradient(params, round=0, worker=0)
    task.evaluate(params)


@buildable
def test_wrong_parameters_and_workers(text: str) -> None:
    task = build_task(text, workers=6, seed=3)
    params = task.initial()
    with pytest.raises(TaskError, match=rf"shape \[{task.dim - 1}\], expected \[{task.dim}\]"):
        task.gradient(params[1:], round=0, worker=0)
    for worker in (-1, 6):
        with pytest.raises(TaskError, match="outside 0 … 5"):
            task.gradient(params, round=0, worker=worker)


def test_too_many_workers() -> None:
    with pytest.raises(TaskError, match="use at most 1438 workers"):
        build_task("mlp(digits)", workers=1439, seed=0)
    with pytest.raises(TaskError, match="for 0 workers"):
        build_task("synthetic(3)", workers=0, seed=0)


@pytest.mark.parametrize(
    "text", ["mlp(digits, hidden=9)", "softmax(digits)", "least_squares(samples=60, dim=7)"]
)
def test_diverged_model(text: str) -> None:
    task = build_task(text, workers=6, seed=3)
    params = np.full(task.dim, 3e38, np.float32)
    with pytest.raises(
        NotFiniteError, match=r"worker 2, round 8: the training loss is (nan|inf); lower the learning rate"
    ):
        task.gradient(params, round=8, worker=2)


def test_synthetic_gradients() -> None:
    task = build_task("synthetic(dim=20000)", workers=2, seed=1)
    first, later = (task.gradient(task.initial(), round=r, worker=0) for r in (0, 9))
    assert first.value is later.value and first.loss is None and task.evaluate(task.initial()) == {}
    assert first.value.dtype == np.float32
    assert np.linalg.norm(first.value) == pytest.approx(1, abs=0.05)  # six standard deviations are 0.03
    assert not np.array_equal(first.value, build_task("synthetic(20000)", workers=2, seed=2).gradient(
        task.initial(), round=0, worker=0).value)  # fmt: skip


def test_mlp_initial_weights_are_he_uniform() -> None:
    model = MlpModel(64, 100, 10)
    w1, b1, w2, b2 = model.views(model.initial(seed=4))
    assert not b1.any() and not b2.any()
    for weights, fan_in in ((w1, 64), (w2, 100)):
        bound = np.sqrt(6 / fan_in)
        assert 0.95 * bound < np.abs(weights).max() <= bound and abs(weights.mean()) < 0.1 * bound
    assert not np.array_equal(model.initial(4), model.initial(5))


def test_views_share_memory() -> None:
    model = MlpModel(3, 4, 2)
    flat = model.initial(0)
    for view in model.views(flat):
        view[...] = 7
    assert np.all(flat == 7)


def test_least_squares_converges_to_its_optimum() -> None:
    task = build_task("least_squares(samples=2000, dim=20)", workers=10, seed=0)
    assert task.evaluate(descend(task, 10, rounds=60, rate=0.8))["distance"] < 1e-4


def test_least_squares_data_is_the_same_for_any_number_of_workers() -> None:
    few, many = (build_task("least_squares(samples=60, dim=7)", workers=w, seed=3) for w in (2, 30))
    params = np.ones(7, np.float32)
    assert few.evaluate(params) == many.evaluate(params)


@pytest.mark.parametrize(
    ("text", "rounds", "rate", "accuracy"),
    rest_slow([("softmax(digits)", 100, 0.5, 0.88), ("mlp(digits, hidden=64)", 100, 0.2, 0.9)]),
)
def test_accuracy_on_digits(text: str, rounds: int, rate: float, accuracy: float) -> None:
    task = build_task(text, workers=4, seed=0)
    assert task.evaluate(descend(task, 4, rounds, rate))["accuracy"] > accuracy


def test_matrix_larger_than_memory() -> None:
    with pytest.raises(ConfigError, match=r"the matrix of 99,999,999 by 99,999 numbers takes 39,999.6 GB"):
        build_task("least_squares(samples=99999999, dim=99999)", workers=4, seed=0)
