"""DataLoaders and IterableDatasets as training sets; augmentation that follows the seed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import TaskError
from tests.worker.tasks.torch_tasks import TorchProblem, built, torch

data = torch.utils.data
X, Y = torch.arange(40.0).reshape(20, 2), torch.arange(20.0)[:, None]
mse = torch.nn.functional.mse_loss


def linear() -> Any:
    return torch.nn.Linear(2, 1)


class Stream(data.IterableDataset[Any]):
    def __init__(self, count: int = 20) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        return zip(X[: self.count], Y[: self.count], strict=True)


def read_from(train: Any, arguments: str = "batch=4", **more: Any) -> Any:
    """A task that notes the inputs of every batch."""
    seen: list[list[float]] = []

    def forward(module: Any, batch: Any) -> Any:
        seen.append(batch[0][:, 0].tolist())
        return module(batch[0]), batch[1]

    task = built(lambda: TorchProblem(linear(), mse, train, forward=forward, **more), arguments, workers=2)
    return task, seen


def test_an_iterable_dataset_is_read_in_order_epoch_after_epoch() -> None:
    task, seen = read_from(Stream(6))
    for round in range(3):
        for worker in (0, 1):
            assert task.gradient(task.initial(), round=round, worker=worker).examples in (2, 4)
    assert seen == [[0, 2, 4, 6], [8, 10]] * 3


def test_a_loader_has_its_own_batches() -> None:
    task, seen = read_from(data.DataLoader(data.TensorDataset(X, Y), batch_size=7))
    assert [task.gradient(task.initial(), round=r, worker=0).examples for r in range(4)] == [7, 7, 6, 7]
    assert seen[0] == seen[3] == [0, 2, 4, 6, 8, 10, 12]


def shuffled() -> Any:
    return data.DataLoader(data.TensorDataset(X, Y), batch_size=4, shuffle=True)


def test_a_shuffled_loader_follows_the_seed_and_resumes() -> None:
    """Two equal runs read equal batches; one that was restarted reads again up to where it stopped."""
    task, seen = read_from(shuffled())
    for round in range(13):
        torch.rand(round)  # what else the process draws is of no consequence
        task.gradient(task.initial(), round=round, worker=round % 2)
    assert sorted(x for batch in seen[:5] for x in batch) == X[:, 0].tolist() and seen[:5] != seen[5:10]

    again, repeated = read_from(shuffled())
    for round in range(6):
        again.gradient(again.initial(), round=round, worker=round % 2)
    assert repeated == seen[:6]
    third, resumed = read_from(shuffled())
    for worker in (0, 1):
        third.restore_worker_state(worker, again.worker_state(worker))
    for round in range(6, 13):
        third.gradient(third.initial(), round=round, worker=round % 2)
    assert resumed == seen[6:]


@pytest.mark.parametrize(
    ("processes", "given", "used"), [(2, None, "spawn"), (2, "forkserver", "forkserver"), (0, None, None)]
)
def test_processes_of_a_loader_are_not_forked(processes: int, given: Any, used: Any) -> None:
    """A fork of a process that runs gRPC crashes."""
    loader = data.DataLoader(data.TensorDataset(X, Y), num_workers=processes, multiprocessing_context=given)
    read_from(loader)
    context = loader.multiprocessing_context
    assert used == (None if context is None else context.get_start_method())


@pytest.mark.slow
def test_loaders_with_processes_of_their_own() -> None:
    def loader() -> Any:
        return data.DataLoader(
            data.TensorDataset(X, Y),
            batch_size=4,
            shuffle=True,
            num_workers=2,
            multiprocessing_context="spawn",
        )

    found = []
    for _ in range(2):
        task, seen = read_from(loader())
        for round in range(3):
            task.gradient(task.initial(), round=round, worker=0)
        found.append(seen)
        torch.rand(1)
    assert found[0] == found[1] and len(found[0]) == 3


def test_a_test_set_may_be_a_loader() -> None:
    tests = [(X, Y), data.DataLoader(data.TensorDataset(X, Y), batch_size=7), Stream()]
    found = [read_from((X, Y), test=test)[0] for test in tests]
    params = np.array([0.5, -0.25, 1], np.float32)
    expected = found[0].evaluate(params)
    for task in found[1:]:
        assert task.evaluate(params) == task.evaluate(params) == pytest.approx(expected)


def test_size_of_a_loader_is_not_known() -> None:
    with pytest.raises(
        TaskError, match="DataLoader or IterableDataset does not say: use --weighting examples"
    ):
        read_from(Stream())[0].size(0)


# ---- randomness --------------------------------------------------------------------------------------------


class Augmented(data.Dataset[Any]):
    """Noise from each of the three global generators."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, row: int) -> Any:
        import random

        noise = torch.rand(2) + random.random() + float(np.random.random())  # noqa: NPY002 - as people do
        return X[row] + noise, Y[row]


@pytest.mark.parametrize("loader", [False, True])
def test_augmentation_follows_the_seed(loader: bool) -> None:
    import random

    train = data.DataLoader(Augmented(), batch_size=4) if loader else Augmented()
    values = []
    for draws in (0, 3):
        task = built(lambda: TorchProblem(linear(), mse, train, Augmented()), "batch=4", workers=2)
        torch.rand(draws), random.random(), np.random.random(draws)  # noqa: NPY002
        states = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        rounds = [task.gradient(task.initial(), round=r, worker=w).value for r in (0, 1) for w in (0, 1)]
        values.append([*rounds, torch.tensor(task.evaluate(task.initial())["test_loss"])])
        assert states[0] == random.getstate() and torch.equal(states[1], torch.get_rng_state())
        assert (states[2] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert all(torch.equal(a, b) for a, b in zip(*values, strict=True))
    if not loader:
        twice = task.gradient(task.initial(), round=1, worker=1).value
        assert torch.equal(twice, values[0][3]) and not torch.equal(twice, values[0][1])
