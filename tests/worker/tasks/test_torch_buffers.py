"""Running statistics: averaged or local to each worker, and never dependent on what a process computed before."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import TaskError
from gradwire.common.training.layout import Role
from tests.worker.tasks.torch_tasks import TorchProblem, built, names, of_module, stepped, torch

GENERATOR = torch.Generator().manual_seed(3)
X = torch.randn(60, 4, generator=GENERATOR) * 2 + 1
Y = (X.sum(dim=1) > 4).long()
cross_entropy = torch.nn.functional.cross_entropy


def network(**of_norm: Any) -> Any:
    return torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6, **of_norm), torch.nn.Linear(6, 2)
    )


def classifier(make: Callable[[], Any] = network, **more: Any) -> Callable[..., TorchProblem]:
    return of_module(make, X, Y, loss=cross_entropy, **more)


def twin_of(params: Any, dtype: Any = torch.float32) -> Any:
    """The network as torch alone would hold it."""
    twin = network().to(dtype)
    tensor = torch.tensor(params).to(dtype)
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(tensor[:-12], twin.parameters())
        twin[1].running_mean.copy_(tensor[-12:-6])
        twin[1].running_var.copy_(tensor[-6:])
    return twin


def statistics(twin: Any) -> Any:
    return torch.cat([twin[1].running_mean, twin[1].running_var]).float().numpy()


@pytest.mark.parametrize("buffers", ["averaged", "local"])
def test_evaluation_does_not_depend_on_gradients_computed_before(buffers: str) -> None:
    """With local statistics, gradients of other workers than the first of the process do not enter."""
    task = built(classifier(), f"batch=8, buffers={buffers}", workers=2)
    params = task.initial()
    task.gradient(params, round=0, worker=0)
    found = [task.evaluate(params)]
    for more in (4, 60):
        for round in range(more):
            task.gradient(params + 1, round=round, worker=1)
        found.append(task.evaluate(params))
    assert found[0] == found[1] == found[2]


def test_gradient_carries_the_fall_of_the_statistics() -> None:
    """A step of rate 1 gives exactly the statistics that torch has after the same pass."""
    task = built(classifier(), workers=1)
    params = task.initial()
    params[-12:] = np.linspace(0.5, 3, 12)
    value = task.gradient(params, round=0, worker=0).value.numpy()
    twin = twin_of(params)
    loss = cross_entropy(twin(X), Y)
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(twin.parameters()))])
    np.testing.assert_allclose(value[:-12], expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(params[-12:] - value[-12:], statistics(twin), rtol=2e-6)
    assert not np.allclose(statistics(twin), params[-12:])


def test_gradient_does_not_depend_on_the_process() -> None:
    used, fresh = (built(classifier(), "batch=8", workers=2) for _ in range(2))
    params = used.initial()
    for round in range(5):
        used.gradient(params * 2, round=round, worker=1)
        used.evaluate(params)
    for worker in (0, 1):
        assert torch.equal(*(task.gradient(params, round=9, worker=worker).value for task in (used, fresh)))


def test_statistics_run_through_the_chunks_in_order() -> None:
    """Three parts of a batch move the statistics three times, each from where the one before left them."""
    parts: list[Any] = []

    def forward(module: Any, batch: Any) -> Any:
        parts.append(batch[0])
        return module(batch[0]), batch[1]

    task = built(classifier(forward=forward), "batch=0, chunk=20", workers=1)
    params = task.initial()
    value = task.gradient(params, round=0, worker=0).value.numpy()
    twin = twin_of(params)
    with torch.no_grad():
        for part in parts:
            twin(part)
    assert len(parts) == 3 and sorted(torch.cat(parts)[:, 0].tolist()) == sorted(X[:, 0].tolist())
    np.testing.assert_allclose(params[-12:] - value[-12:], statistics(twin), rtol=1e-5, atol=1e-6)


def test_counts_and_constants_do_not_drift() -> None:
    task = built(classifier(), "batch=8", workers=1)
    before = task.constants()
    stepped(task, task.initial(), 3)
    task.evaluate(task.initial())
    assert task.constants() == before and names(task, Role.CONSTANT) == ["1.num_batches_tracked"]
    assert before == [bytes(8)]


def test_instance_norm_and_subclasses_are_averaged() -> None:
    class Mine(torch.nn.BatchNorm1d):
        pass

    def make() -> Any:
        return torch.nn.Sequential(
            Mine(4), torch.nn.Unflatten(1, (2, 2)), torch.nn.InstanceNorm1d(2, track_running_stats=True),
            torch.nn.Flatten(), torch.nn.BatchNorm1d(4, track_running_stats=False, affine=False),
            torch.nn.Linear(4, 2),
        )  # fmt: skip

    task = built(classifier(make), workers=1)
    assert names(task, Role.AVERAGED) == [
        "0.running_mean",
        "0.running_var",
        "2.running_mean",
        "2.running_var",
    ]
    assert task.gradient(task.initial(), round=0, worker=0).value[-4:].abs().min() > 0
    synced = built(classifier(lambda: torch.nn.SyncBatchNorm.convert_sync_batchnorm(network())))
    assert names(synced, Role.AVERAGED) == ["1.running_mean", "1.running_var"]


def test_a_backbone_in_evaluation_mode_has_constant_statistics() -> None:
    class Frozen(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = network(), torch.nn.Linear(2, 2)
            self.backbone.requires_grad_(False)

        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            self.backbone.eval()
            return self

        def forward(self, x: Any) -> Any:
            return self.head(self.backbone(x))

    task = built(classifier(Frozen), workers=1)
    assert not task.gradient(task.initial(), round=0, worker=0).value[-12:].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_statistics_in_half_precision(dtype: Any) -> None:
    """They move as differences of float32 masters, and stay where a module's own are to its precision."""
    make = of_module(
        lambda: network().to(dtype), X.to(dtype), Y, loss=lambda o, t: cross_entropy(o.float(), t)
    )
    task = built(make, workers=1)
    twin = twin_of(task.initial(), dtype)
    params = stepped(task, task.initial(), 4, lr=0)
    with torch.no_grad():
        for _ in range(4):
            twin(X.to(dtype))
    np.testing.assert_allclose(params[-12:], statistics(twin), rtol=0.05, atol=0.02)


# ---- local -------------------------------------------------------------------------------------------------


def test_local_statistics_are_each_workers_own() -> None:
    """As in a process of each worker's own; evaluation uses those of the first worker of the process."""
    task = built(classifier(), "batch=8, buffers=local", workers=2)
    alone = [built(classifier(), "batch=8, buffers=local", workers=2) for _ in range(2)]
    params = task.initial()
    for round in range(3):
        for worker in (0, 1):
            task.gradient(params, round=round, worker=worker)
            alone[worker].gradient(params, round=round, worker=worker)
    states = [task.worker_state(worker) for worker in (0, 1)]
    for worker in (0, 1):
        assert {k: v.tobytes() for k, v in states[worker].items()} == {
            k: v.tobytes() for k, v in alone[worker].worker_state(worker).items()
        }
    assert states[0]["1.running_mean"].tobytes() != states[1]["1.running_mean"].tobytes()
    assert states[0]["1.num_batches_tracked"] == 3
    assert task.evaluate(params) == alone[0].evaluate(params)


def test_local_statistics_are_restored() -> None:
    task = built(classifier(), "batch=8, buffers=local", workers=2)
    params = task.initial()
    for round in range(3):
        task.gradient(params, round=round, worker=0)
    kept, measured = task.worker_state(0), task.evaluate(params)
    again = built(classifier(), "batch=8, buffers=local", workers=2)
    assert set(again.worker_state(0)) == set(kept)  # complete from the start
    assert again.evaluate(params) != measured
    again.restore_worker_state(0, kept)
    assert again.evaluate(params) == measured
    for each in (task, again):
        each.gradient(params, round=3, worker=0)
    assert again.worker_state(0)["1.running_var"].tobytes() == task.worker_state(0)["1.running_var"].tobytes()
    with pytest.raises(
        TaskError, match=r"worker 0 left a buffer 1.running_mean \[7\], which this module has not"
    ):
        again.restore_worker_state(0, {"1.running_mean": np.zeros(7, np.float32)})
    with pytest.raises(TaskError, match="buffer other"):
        again.restore_worker_state(0, {"other": np.zeros(6, np.float32)})


def test_averaged_tasks_keep_nothing_by_worker() -> None:
    task = built(classifier(), "batch=8", workers=2)
    task.gradient(task.initial(), round=0, worker=1)
    assert task.worker_state(1) == {}
    task.restore_worker_state(1, {})


def test_cumulative_averages_are_local_or_refused() -> None:
    with pytest.raises(TaskError, match=r"1 has momentum=None, .* or write buffers=local"):
        built(classifier(lambda: network(momentum=None)))
    task = built(classifier(lambda: network(momentum=None)), "batch=20, buffers=local", workers=1)
    params, means = task.initial(), []
    for round in range(3):
        task.gradient(params, round=round, worker=0)
        means.append(task.worker_state(0)["1.running_mean"])
    assert task.worker_state(0)["1.num_batches_tracked"] == 3
    assert len({mean.tobytes() for mean in means}) == 3


class Counts(torch.nn.Module):
    """Counts its passes in a buffer: by assignment, which leaves the first tensor as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        if self.training:
            self.passes = self.passes + 1
        return self.layer(x) * (1 + self.passes)


def test_other_buffers_that_change_are_put_back(caplog: pytest.LogCaptureFixture) -> None:
    task = built(classifier(Counts), "batch=8", workers=1)
    params = task.initial()
    with caplog.at_level(logging.WARNING):
        first = task.gradient(params, round=0, worker=0).value
        assert torch.equal(task.gradient(params, round=0, worker=0).value, first)
    assert caplog.text.count("the forward pass changes passes, a constant of the run") == 1
    assert task.constants() == [bytes(4)] and task.worker_state(0) == {}
    local = built(classifier(Counts), "batch=8, buffers=local", workers=1)
    local.gradient(params, round=0, worker=0)
    assert not torch.equal(local.gradient(params, round=0, worker=0).value, first)
    assert local.worker_state(0)["passes"] == 2 and local.constants() == [bytes(4)]
