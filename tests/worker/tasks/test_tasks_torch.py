"""A user's torch module as a task: the same gradient as NumPy's, on the device, reproducible."""

import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import SpecError, TaskError
from gradwire.worker.data import load
from gradwire.worker.tasks import parse_task
from gradwire.worker.tasks.kinds.mlp import MlpModel
from gradwire.worker.tasks.shards import Shards
from gradwire.worker.tasks.supervised import SupervisedTask
from gradwire.worker.tasks.torch.devices import device_named, has_float64
from tests.worker.tasks.torch_tasks import SEED, WORKERS, TorchProblem, built, digits, torch

HIDDEN = 12
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, needs_cuda])]


def mlp_problem(seed: int) -> TorchProblem:
    x, y, x_test, y_test = digits()
    module = torch.nn.Sequential(torch.nn.Linear(64, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10))
    return TorchProblem(module, torch.nn.functional.cross_entropy, (x, y), (x_test, y_test))


def numpy_twin(batch: int) -> SupervisedTask:
    data = load("digits")
    return SupervisedTask(
        MlpModel(64, HIDDEN, 10), data, Shards.even(len(data.x_train), WORKERS, SEED, batch)
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("batch", [0, 16])
def test_torch_and_numpy_agree(batch: int, device: str) -> None:
    task, twin = built(mlp_problem, f"batch={batch}", device=device), numpy_twin(batch)
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


@pytest.mark.parametrize("device", DEVICES)
def test_torch_task_is_deterministic(device: str) -> None:
    """Initial weights and dropout come from the run's seed, not from what the process drew before."""
    before = built(dropout_problem, "batch=16", device=device)
    torch.rand(7)
    state = torch.get_rng_state()
    after = built(dropout_problem, "batch=16", device=device)
    params = before.initial()
    assert params.tobytes() == after.initial().tobytes()
    before.gradient(params, round=0, worker=0)
    first = before.gradient(params, round=1, worker=3).value
    assert torch.equal(first, after.gradient(params, round=1, worker=3).value)
    assert not torch.equal(first, after.gradient(params, round=2, worker=3).value)
    assert torch.equal(state, torch.get_rng_state())  # the user's own draws are undisturbed


def test_dropout_is_off_in_evaluation() -> None:
    with_dropout = built(dropout_problem)
    params = with_dropout.initial()
    with_dropout.gradient(params, round=0, worker=0)
    assert with_dropout.evaluate(params) == built(mlp_problem).evaluate(params)


def test_parameters_are_copied() -> None:
    task = built(mlp_problem)
    params = task.initial()
    params.flags.writeable = False
    kept = task.gradient(params, round=0, worker=0).value.clone()
    task.gradient(params + 1, round=0, worker=0)
    assert torch.equal(task.gradient(params, round=0, worker=0).value, kept)


def test_tensor_parameters_are_only_read() -> None:
    """Local steps pass tensors: the same gradient, and the tensor stays as it was."""
    task = built(dropout_problem, "batch=16")
    params = task.initial()
    tensor = torch.tensor(params)
    expected = task.gradient(params, round=2, worker=1)
    given = task.gradient(tensor, round=2, worker=1)
    assert torch.equal(given.value, expected.value) and given.loss == expected.loss
    assert tensor.numpy().tobytes() == params.tobytes()
    task.gradient(torch.zeros(task.dim), round=2, worker=1)
    assert tensor.numpy().tobytes() == params.tobytes()
    with pytest.raises(
        TaskError, match=r"the parameters are torch.float64 \[910\], expected torch.float32 \[910\]"
    ):
        task.gradient(tensor.double(), round=0, worker=0)


@pytest.mark.parametrize("samples", [0, 16])
def test_chunks_accumulate_the_exact_mean(samples: int) -> None:
    whole = built(mlp_problem, f"batch={samples}, chunk=1000")
    params = whole.initial()
    expected = whole.gradient(params, round=1, worker=2)
    for chunk in (1, 7, 16):
        found = built(mlp_problem, f"batch={samples}, chunk={chunk}").gradient(params, round=1, worker=2)
        assert found.examples == expected.examples and found.loss == pytest.approx(expected.loss, rel=1e-6)
        np.testing.assert_allclose(found.value.numpy(), expected.value.numpy(), rtol=1e-4, atol=1e-7)


def test_chunks_bound_a_forward_pass() -> None:
    """A whole shard of 300 samples, and a test set, in passes of at most the chunk; dropout differs between parts."""
    seen: list[int] = []

    class Watched(torch.nn.Linear):
        def forward(self, x: Any) -> Any:
            seen.append(len(x))
            return super().forward(x)

    def problem(seed: int) -> TorchProblem:
        x, y = torch.ones(1500, 2), torch.zeros(1500, 1)
        return TorchProblem(Watched(2, 1), torch.nn.functional.mse_loss, (x, y), (x[:130], y[:130]))

    for arguments, passes, tests in (
        ("batch=0", [150, 150], [130]),
        ("batch=0, chunk=128", [100, 100, 100], [65, 65]),
        ("", [32], [26] * 5),
    ):
        task = built(problem, arguments)
        seen.clear()
        assert task.gradient(task.initial(), round=0, worker=0).examples == sum(passes)
        assert seen == passes
        seen.clear()
        task.evaluate(task.initial())
        assert seen == tests


def test_dropout_differs_between_chunks() -> None:
    masks: list[Any] = []

    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, x: Any) -> Any:
            masks.append(torch.nn.functional.dropout(torch.ones(40), training=self.training))
            return x * self.weight

    data = torch.ones(10, 1), torch.ones(10, 1)
    task = built(lambda: TorchProblem(Masked(), torch.nn.functional.mse_loss, data), "batch=0, chunk=1")
    task.gradient(task.initial(), round=0, worker=0)
    assert len(masks) == 2 and not torch.equal(*masks)


def test_sparse_gradients_are_dense() -> None:
    def problem() -> TorchProblem:
        module = torch.nn.Sequential(
            torch.nn.Embedding(6, 2, sparse=True), torch.nn.Flatten(), torch.nn.Linear(2, 1)
        )
        return TorchProblem(
            module, torch.nn.functional.mse_loss, (torch.arange(6)[:, None], torch.ones(6, 1))
        )

    task = built(problem, workers=1)
    value = task.gradient(task.initial(), round=0, worker=0).value
    assert value.layout is torch.strided and value.shape == (15,) and value.all()


def test_device_is_the_sites() -> None:
    with pytest.raises(SpecError, match="device is each worker's own: pass --device cuda:1 to the worker"):
        parse_task("torch(a.b:c, device=cuda:1)")
    with pytest.raises(TaskError, match="the device is 'tpu', expected auto, cpu, cuda, cuda:1, mps or xpu"):
        built(mlp_problem, device="tpu")
    with pytest.raises(
        TaskError, match=r"device cuda:64: torch sees \d+ cuda devices here; pass --device auto"
    ):
        built(mlp_problem, device="cuda:64")


@pytest.mark.parametrize("there", ["mps", None])
def test_auto_takes_an_accelerator(there: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradwire.worker.tasks.torch.devices._count", lambda kind: int(kind == there))
    assert device_named("auto").type == (there or "cpu")
    assert has_float64(device_named("auto")) == (there is None)


def test_error_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "gradwire.worker.tasks.kinds.torch.find_spec", lambda name: None if name == "torch" else find(name)
    )
    with pytest.raises(TaskError, match=r"install it with pip install 'gradwire\[torch\]'"):
        built(mlp_problem)


def test_numpy_tasks_do_not_import_torch() -> None:
    """Importing torch takes seconds and gigabytes that a worker on a small machine may not have."""
    code = "import sys, gradwire.worker.tasks; assert not {'torch', 'sklearn', 'pooch', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
