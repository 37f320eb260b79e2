"""A user's torch module as a task: the same gradient as NumPy's, on the device, reproducible."""

import importlib.util
import logging
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import NotFiniteError, TaskError
from gradwire.worker.data import load
from gradwire.worker.tasks import Task, build_task
from gradwire.worker.tasks.kinds.mlp import MlpModel
from gradwire.worker.tasks.shards import Shards
from gradwire.worker.tasks.supervised import SupervisedTask

torch = pytest.importorskip("torch")
from gradwire.worker.tasks.torch_task import TorchProblem  # noqa: E402

HIDDEN, WORKERS, SEED = 12, 5, 9
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def digits() -> tuple[Any, Any, Any, Any]:
    data = load("digits")
    return tuple(torch.tensor(part) for part in (data.x_train, data.y_train, data.x_test, data.y_test))


def mlp_problem(seed: int) -> TorchProblem:
    x, y, x_test, y_test = digits()
    module = torch.nn.Sequential(torch.nn.Linear(64, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10))
    return TorchProblem(module, torch.nn.functional.cross_entropy, (x, y), (x_test, y_test))


@pytest.fixture
def build() -> Iterator[Callable[..., Task]]:
    """Build a torch task from a factory as if it stood in a user's module."""
    module = types.ModuleType("a_users_torch")
    sys.modules["a_users_torch"] = module

    def make(factory: Callable[..., Any], arguments: str = "", workers: int = WORKERS) -> Task:
        module.factory = factory  # type: ignore[attr-defined]
        target = "a_users_torch:factory"
        return build_task(f"torch({target}{arguments})", workers=workers, seed=SEED, allow_import=[target])

    yield make
    del sys.modules["a_users_torch"]


def numpy_twin(batch: int) -> SupervisedTask:
    data = load("digits")
    return SupervisedTask(
        MlpModel(64, HIDDEN, 10), data, Shards.even(len(data.x_train), WORKERS, SEED, batch)
    )


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, needs_cuda])])
@pytest.mark.parametrize("batch", [0, 16])
def test_torch_and_numpy_agree(build: Callable[..., Task], batch: int, device: str) -> None:
    task, twin = build(mlp_problem, f", batch={batch}, device={device}"), numpy_twin(batch)
    params = twin.initial()
    assert task.dim == twin.dim == len(task.initial())
    ours, theirs = (t.gradient(params, round=3, worker=2) for t in (task, twin))
    assert isinstance(ours.value, torch.Tensor) and ours.value.device.type == device
    assert ours.value.dtype == torch.float32 and ours.examples == theirs.examples
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
    np.testing.assert_allclose(ours.value.cpu().numpy(), theirs.value, rtol=1e-4, atol=1e-6)
    expected = twin.evaluate(params)
    assert task.evaluate(params) == pytest.approx(
        {k: expected[k] for k in ("test_loss", "accuracy")}, rel=1e-5
    )


def dropout_problem(seed: int) -> TorchProblem:
    problem = mlp_problem(seed)
    problem.module.insert(2, torch.nn.Dropout(0.5))
    return problem


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, needs_cuda])])
def test_torch_task_is_deterministic(build: Callable[..., Task], device: str) -> None:
    """Initial weights and dropout come from the run's seed, not from what the process drew before."""
    before = build(dropout_problem, f", batch=16, device={device}")
    torch.rand(7)
    state = torch.get_rng_state()
    after = build(dropout_problem, f", batch=16, device={device}")
    params = before.initial()
    assert params.tobytes() == after.initial().tobytes()
    before.gradient(params, round=0, worker=0)
    first = before.gradient(params, round=1, worker=3).value
    assert torch.equal(first, after.gradient(params, round=1, worker=3).value)
    assert not torch.equal(first, after.gradient(params, round=2, worker=3).value)
    assert torch.equal(state, torch.get_rng_state())  # the user's own draws are undisturbed


def test_dropout_is_off_in_evaluation(build: Callable[..., Task]) -> None:
    with_dropout = build(dropout_problem)
    params = with_dropout.initial()
    with_dropout.gradient(params, round=0, worker=0)
    assert with_dropout.evaluate(params) == build(mlp_problem).evaluate(params)


def test_parameters_are_copied(build: Callable[..., Task]) -> None:
    task = build(mlp_problem)
    params = task.initial()
    params.flags.writeable = False
    kept = task.gradient(params, round=0, worker=0).value.clone()
    task.gradient(params + 1, round=0, worker=0)
    assert torch.equal(task.gradient(params, round=0, worker=0).value, kept)


class Squares(torch.utils.data.Dataset[tuple[Any, Any]]):
    """A regression set that is read as it is drawn; remembers which items were."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return 20

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        self.read.append(number)
        return torch.tensor([float(number)]) / 20, torch.tensor([number**2 / 400])


def test_dataset_is_read_on_demand(build: Callable[..., Task]) -> None:
    data = Squares()
    task = build(
        lambda seed: TorchProblem(torch.nn.Linear(1, 1), torch.nn.functional.mse_loss, data), ", batch=2"
    )
    task.gradient(task.initial(), round=4, worker=1)
    assert data.read == Shards.even(20, WORKERS, SEED, batch=2).draw(1, 4).tolist()
    assert task.evaluate(task.initial()) == {}


def test_regression_has_a_loss_and_no_accuracy(build: Callable[..., Task]) -> None:
    task = build(
        lambda seed: TorchProblem(torch.nn.Linear(1, 1), torch.nn.functional.mse_loss, Squares(), Squares())
    )
    measures = task.evaluate(np.array([1, 0], np.float32))
    x = np.arange(20) / 20
    assert measures == {"test_loss": pytest.approx(np.mean((x - x**2) ** 2))}


def test_frozen_and_unused_parameters(build: Callable[..., Task]) -> None:
    class Partly(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen, self.used, self.unused = (torch.nn.Linear(1, 1) for _ in range(3))
            self.frozen.requires_grad_(False)

        def forward(self, x: Any) -> Any:
            return self.used(self.frozen(x))

    task = build(lambda seed: TorchProblem(Partly(), torch.nn.functional.mse_loss, Squares()))
    value = task.gradient(task.initial(), round=0, worker=0).value
    assert task.dim == 4  # frozen weights are not sent
    assert value[:2].abs().min() > 0 and not value[2:].any()


def problem_with(**changes: Any) -> Callable[..., TorchProblem]:
    parts = {"module": torch.nn.Linear(1, 1), "loss": torch.nn.functional.mse_loss, "train": Squares()}
    return lambda seed: TorchProblem(**(parts | changes))


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        (lambda seed: 3, "returned a int, expected a TorchProblem"),
        (problem_with(module=torch.nn.ReLU()), "no trainable parameters"),
        (problem_with(module=torch.nn.Linear(1, 1).double()), "torch.float64 parameters, expected float32"),
        (problem_with(train=[1, 2]), "train is neither two tensors"),
        (problem_with(train=(torch.ones(3), torch.ones(4))), "train is neither two tensors of equal length"),
        (problem_with(train=(torch.ones(3, 1), torch.ones(3, 1))), "3 samples cannot be dealt to 5 workers"),
    ],
)
def test_untrainable_problem(build: Callable[..., Task], factory: Any, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        build(factory)


def test_loss_must_be_a_finite_scalar(build: Callable[..., Task]) -> None:
    task = build(problem_with(loss=torch.nn.MSELoss(reduction="none")))
    with pytest.raises(TaskError, match=r"the loss has shape \[4, 1\], expected a scalar"):
        task.gradient(task.initial(), round=0, worker=0)
    with pytest.raises(NotFiniteError, match="lower the learning rate"):
        build(problem_with()).gradient(np.full(2, 3e38, np.float32), round=0, worker=0)


def test_running_statistics_are_logged(build: Callable[..., Task], caplog: pytest.LogCaptureFixture) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    with caplog.at_level(logging.WARNING):
        build(problem_with(module=module))
    assert "running statistics" in caplog.text


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_missing_gpu(build: Callable[..., Task]) -> None:
    with pytest.raises(TaskError, match="device=cuda and torch sees 0 GPUs here: write device=auto"):
        build(mlp_problem, ", device=cuda")
    task = build(mlp_problem, ", device=auto")
    assert task.gradient(task.initial(), round=0, worker=0).value.device.type == "cpu"


def test_error_without_torch(build: Callable[..., Task], monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "gradwire.worker.tasks.kinds.torch.find_spec", lambda name: None if name == "torch" else find(name)
    )
    with pytest.raises(TaskError, match=r"install it with pip install 'gradwire\[torch\]'"):
        build(mlp_problem)


def test_numpy_tasks_do_not_import_torch() -> None:
    """Importing torch takes seconds and gigabytes that a worker on a small machine may not have."""
    code = "import sys, gradwire.worker.tasks; assert not {'torch', 'sklearn', 'pooch', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
