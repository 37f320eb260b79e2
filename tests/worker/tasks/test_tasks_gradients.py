"""Every gradient against central finite differences in float64, and every float32 task against its float64 model."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradwire.worker.data import Dataset
from gradwire.worker.tasks import build_task
from gradwire.worker.tasks.base import layout_of
from gradwire.worker.tasks.kinds.least_squares import LeastSquaresTask
from gradwire.worker.tasks.kinds.logistic import LogisticModel
from gradwire.worker.tasks.kinds.mlp import MlpModel
from gradwire.worker.tasks.kinds.softmax import SoftmaxModel
from gradwire.worker.tasks.losses import logistic_loss, softmax_cross_entropy
from gradwire.worker.tasks.shards import Shards
from gradwire.worker.tasks.supervised import Model, SupervisedTask

SAMPLES, INPUTS = 23, 5
MODELS: dict[str, tuple[Model, int]] = {
    "logistic": (LogisticModel(INPUTS, 0.3), 2),
    "softmax": (SoftmaxModel(INPUTS, 4, 0.3), 4),
    "mlp": (MlpModel(INPUTS, 6, 4), 4),
}
models = pytest.mark.parametrize(("model", "classes"), MODELS.values(), ids=MODELS.keys())


def problem(model: Model, classes: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    rng = np.random.default_rng(7)
    return rng.normal(size=model.dim), rng.normal(size=(SAMPLES, INPUTS)), rng.integers(0, classes, SAMPLES)


def task_of(model: Model, classes: int, workers: int, batch: int = 0) -> SupervisedTask:
    _, x, y = problem(model, classes)
    data = Dataset("small", x.astype(np.float32), y, x[:9].astype(np.float32), y[:9], classes)
    return SupervisedTask(model, data, Shards.even(SAMPLES, workers, 0, batch))


@models
def test_gradient_is_the_derivative_of_the_loss(model: Model, classes: int) -> None:
    params, x, y = problem(model, classes)
    _, value = model.gradient(params, x, y)
    step = 1e-6
    for i in range(model.dim):
        up, down = params.copy(), params.copy()
        up[i] += step
        down[i] -= step
        slope = (model.gradient(up, x, y)[0] - model.gradient(down, x, y)[0]) / (2 * step)
        assert value[i] == pytest.approx(slope, abs=1e-8, rel=1e-6)


@models
def test_loss_is_the_formula(model: Model, classes: int) -> None:
    params, x, y = problem(model, classes)
    if isinstance(model, LogisticModel):
        b = np.where(y == 1, 1, -1)
        expected = np.mean([np.log1p(np.exp(-b[i] * x[i] @ params)) for i in range(SAMPLES)])
        expected += 0.3 / 2 * params @ params
    else:
        logits = _logits(model, params, x)
        expected = -np.mean([np.log(np.exp(z[c]) / np.exp(z).sum()) for z, c in zip(logits, y, strict=True)])
        if isinstance(model, SoftmaxModel):
            expected += 0.3 / 2 * np.sum(params[: 4 * INPUTS] ** 2)
    assert model.gradient(params, x, y)[0] == pytest.approx(expected, rel=1e-12)


def _logits(model: Model, params: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    if isinstance(model, SoftmaxModel):
        weights, bias = model.views(params)
        return x @ weights.T + bias
    assert isinstance(model, MlpModel)
    w1, b1, w2, b2 = model.views(params)
    return np.maximum(x @ w1.T + b1, 0) @ w2.T + b2


@models
def test_score_counts_correct_answers(model: Model, classes: int) -> None:
    params, x, y = problem(model, classes)
    loss, correct = model.score(params, x, y)
    if isinstance(model, LogisticModel):
        answers = (x @ params > 0).astype(np.int64)
        assert loss == pytest.approx(model.gradient(params, x, y)[0] - 0.15 * params @ params)
    else:
        answers = _logits(model, params, x).argmax(axis=1)
    assert correct == np.count_nonzero(answers == y)


@models
@pytest.mark.parametrize("batch", [0, 3])
def test_task_agrees_with_its_model_in_float64(model: Model, classes: int, batch: int) -> None:
    params, x, y = problem(model, classes)
    task = task_of(model, classes, workers=4, batch=batch)
    rows = task.shards.draw(2, 5)
    answer = task.gradient(params.astype(np.float32), round=5, worker=2)
    loss, value = model.gradient(params, x[rows], y[rows])
    assert answer.value.dtype == np.float32 and answer.value.shape == (model.dim,)
    assert answer.examples == len(rows) and answer.loss == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(answer.value, value, rtol=2e-5, atol=1e-6)


@models
def test_weighted_mean_over_workers_is_the_full_gradient(model: Model, classes: int) -> None:
    params, x, y = problem(model, classes)
    task = task_of(model, classes, workers=4)
    answers = [task.gradient(params.astype(np.float32), round=0, worker=w) for w in range(4)]
    mean = np.average([a.value for a in answers], axis=0, weights=[a.examples for a in answers])
    np.testing.assert_allclose(mean, model.gradient(params, x, y)[1], rtol=2e-5, atol=1e-6)


@models
def test_a_large_shard_is_accumulated_in_chunks(
    model: Model, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, x, y = problem(model, classes)
    task = task_of(model, classes, workers=1)
    whole = task.gradient(params.astype(np.float32), round=0, worker=0)
    monkeypatch.setattr("gradwire.worker.tasks.supervised.MOST_AT_ONCE", 5)
    parts = task.gradient(params.astype(np.float32), round=0, worker=0)
    loss, value = model.gradient(params, x, y)
    assert parts.examples == SAMPLES and parts.loss == pytest.approx(loss, rel=1e-6)
    assert parts.value.dtype == np.float32 and not np.array_equal(parts.value, whole.value)
    np.testing.assert_allclose(parts.value, value, rtol=2e-5, atol=1e-6)


@models
def test_layout_is_of_views_of_the_flat_vector(model: Model, classes: int) -> None:
    flat = np.arange(model.dim, dtype=np.float32)
    arrays = {array.name: view for array, view in model.layout.views(flat)}
    assert all(np.shares_memory(flat, view) for view in arrays.values())
    own = model.views(flat) if isinstance(model, SoftmaxModel | MlpModel) else [flat]
    for view, expected in zip(arrays.values(), own, strict=True):
        np.testing.assert_array_equal(view, expected)
    task = task_of(model, classes, workers=2)
    assert task.layout == model.layout and layout_of(task) == model.layout
    assert [task.size(worker) for worker in (0, 1)] == [12, 11]


def test_regulariser_of_eq_29(monkeypatch: pytest.MonkeyPatch) -> None:
    data = task_of(*MODELS["logistic"], workers=1).data
    monkeypatch.setattr("gradwire.worker.tasks.labelled.load", lambda name: data)
    task = build_task("logistic(small)", workers=4, seed=0)
    assert isinstance(task, SupervisedTask) and task.model == LogisticModel(INPUTS, 1 / SAMPLES)
    assert build_task("logistic(small, l2=0)", workers=4, seed=0).model == LogisticModel(INPUTS, 0)  # type: ignore[attr-defined]


def test_evaluation_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, classes = MODELS["mlp"]
    task = task_of(model, classes, workers=1)
    params = problem(model, classes)[0].astype(np.float32)
    whole = task.evaluate(params)
    monkeypatch.setattr("gradwire.worker.tasks.supervised.CHUNK", 4)
    assert task.evaluate(params) == pytest.approx(whole)
    assert whole["accuracy"] + whole["test_error"] == 1
    assert whole["test_loss"] == pytest.approx(model.score(params, task.data.x_test, task.data.y_test)[0])


@pytest.mark.parametrize("batch", [0, 2])
def test_least_squares_gradient(batch: int) -> None:
    task = LeastSquaresTask(dim=6, shards=Shards.even(20, 4, seed=3, batch=batch))
    matrix, target = (part.astype(np.float64) for part in task._system)
    rows = task.shards.draw(1, 2)
    a, b, params = matrix[rows], target[rows], np.linspace(-1, 1, 6)
    answer = task.gradient(params.astype(np.float32), round=2, worker=1)
    np.testing.assert_allclose(answer.value, a.T @ (a @ params - b) / len(rows), rtol=1e-5, atol=1e-5)
    assert answer.loss == pytest.approx(np.sum((a @ params - b) ** 2) / (2 * len(rows)), rel=1e-5)
    assert answer.examples == len(rows)

    def objective(theta: NDArray[Any]) -> float:
        return float(np.sum((a @ theta - b) ** 2) / (2 * len(rows)))

    step = 1e-4
    for i, unit in enumerate(np.eye(6)):
        slope = (objective(params + step * unit) - objective(params - step * unit)) / (2 * step)
        assert answer.value[i] == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_least_squares_optimum() -> None:
    task = LeastSquaresTask(dim=6, shards=Shards.even(20, 4, seed=3))
    np.testing.assert_allclose(task.gradient(task.optimum, round=0, worker=0).value, 0, atol=1e-6)
    start = task.evaluate(task.initial())
    assert start["distance"] == pytest.approx(np.linalg.norm(task.optimum))
    assert start["objective"] == pytest.approx(np.mean(task._system[1].astype(np.float64) ** 2) / 2)
    assert task.evaluate(task.optimum) == {"distance": 0, "objective": 0}


def test_losses_are_finite_far_from_the_boundary() -> None:
    loss, slopes = logistic_loss(np.array([-1e4, 0, 1e4], np.float32))
    assert loss == pytest.approx((1e4 + np.log(2)) / 3)
    np.testing.assert_allclose(slopes, [-1, -0.5, 0])
    logits = np.array([[1e4, -1e4, 0]], np.float32)
    assert softmax_cross_entropy(logits, np.array([1])) == pytest.approx(2e4)
    np.testing.assert_allclose(logits, [[1, -1, 0]])
