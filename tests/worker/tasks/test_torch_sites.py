"""A site's own data are trained on whole; one common data set is dealt to all workers where a run says so."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import SpecError, TaskError
from gradwire.worker.site import Site
from gradwire.worker.tasks import Gradient, build_task
from tests.worker.tasks.torch_tasks import SEED, TorchProblem, built, module, torch


class Rows(torch.utils.data.Dataset[Any]):
    """Numbered rows; remembers which ones were read."""

    def __init__(self, count: int) -> None:
        self.count, self.read = count, list[int]()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        self.read.append(row)
        return torch.tensor([float(row)]), torch.tensor([1.0])


def of(data: Any) -> Callable[..., TorchProblem]:
    return lambda site: TorchProblem(torch.nn.Linear(1, 1), torch.nn.functional.mse_loss, data)


def read_by(data: Rows, task: Any, worker: int) -> set[int]:
    data.read.clear()
    task.gradient(np.zeros(2, np.float32), round=0, worker=worker)
    return set(data.read)


def test_one_worker_trains_on_all_that_its_site_has() -> None:
    """Three sites of one worker each: 200 rows of 200, not of 600."""
    for worker in range(3):
        data = Rows(200)
        task = built(of(data), "batch=0, chunk=64", workers=3, hosted=(worker,))
        assert read_by(data, task, worker) == set(range(200)) and task.size(worker) == 200


def test_a_site_deals_its_data_among_its_own_workers() -> None:
    data = Rows(20)
    task = built(of(data), workers=6, hosted=(1, 4, 5))
    parts = [read_by(data, task, worker) for worker in (1, 4, 5)]
    assert [len(part) for part in parts] == [7, 7, 6] == [task.size(worker) for worker in (1, 4, 5)]
    assert set.union(*parts) == set(range(20))
    with pytest.raises(TaskError, match="worker 2 is"):
        task.gradient(np.zeros(2, np.float32), round=0, worker=2)


def test_a_batch_larger_than_the_shard_is_the_shard() -> None:
    data = Rows(20)
    assert len(read_by(data, built(of(data), "", workers=3, hosted=(2,)), 2)) == 20


def test_partition_deals_one_data_set_to_all_workers() -> None:
    parts = []
    for hosted in ((0, 1), (2,)):
        data = Rows(20)
        task = built(of(data), workers=3, hosted=hosted, partition="iid")
        parts += [read_by(data, task, worker) for worker in hosted]
    assert [len(part) for part in parts] == [7, 7, 6] and set.union(*parts) == set(range(20))


class Labelled(Rows):
    """Rows whose classes are an attribute, as torchvision has them."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.targets = [row % 3 for row in range(count)]


LABELS = torch.arange(90) % 3
WITH_LABELS = {
    "pair": (torch.zeros(90, 1), LABELS),
    "dict": {"x": torch.zeros(90, 1), "labels": LABELS},
    "attribute": Labelled(90),
    "TensorDataset": torch.utils.data.TensorDataset(torch.zeros(90, 1), LABELS),
    "subset": torch.utils.data.Subset(Labelled(120), range(90)),
}


@pytest.mark.parametrize("form", WITH_LABELS)
def test_partitions_by_label(form: str) -> None:
    """One shard of one class for each of three workers."""
    task = built(of(WITH_LABELS[form]), workers=3, partition="shards(1)")
    shards = [task.task._train.shards.shard(worker) for worker in range(3)]  # type: ignore[attr-defined]
    assert sorted([*{int(row) % 3 for row in shard}] for shard in shards) == [[0], [1], [2]]


@pytest.mark.parametrize(
    "data", [Rows(90), (torch.zeros(90, 1), torch.zeros(90, 1)), (torch.zeros(90, 1), LABELS, LABELS)]
)
def test_partitions_by_label_need_labels(data: Any) -> None:
    with pytest.raises(TaskError, match="deals by label, and these data have none: use iid"):
        built(of(data), workers=3, partition="dirichlet(0.5)")
    with pytest.raises(SpecError, match="unknown partition 'zipf'"):
        built(of(data), workers=3, partition="zipf(2)")


def test_a_loader_cannot_be_partitioned() -> None:
    loader = torch.utils.data.DataLoader(Rows(20), batch_size=2)
    with pytest.raises(
        TaskError, match="partition iid deals samples by number, and train, a DataLoader, is read"
    ):
        built(of(loader), partition="iid")


# ---- what factories are given ------------------------------------------------------------------------------


def remembers(seen: dict[str, Any]) -> list[Callable[..., Any]]:
    """Factories that differ in what they take."""

    def problem(**given: Any) -> Any:
        seen.clear()
        seen.update(given)
        return TorchProblem(torch.nn.Linear(1, 1), torch.nn.functional.mse_loss, Rows(20))

    return [
        lambda: problem(path="here"),
        lambda seed: problem(seed=seed),
        lambda site, seed=5: problem(site=site, seed=seed),
        lambda *, workers: problem(workers=workers),
        problem,
        lambda seed, path="here": problem(seed=seed, path=path),
    ]


@pytest.mark.parametrize("number", range(6))
def test_factories_take_what_they_name(number: int) -> None:
    seen: dict[str, Any] = {}
    built(remembers(seen)[number], workers=7, hosted=(3, 4), name="north", options={"fold": "2"})
    assert (
        seen.pop("seed", SEED) == SEED and seen.pop("workers", 7) == 7 and seen.pop("path", "here") == "here"
    )
    site = seen.pop("site", None)
    assert (site is None) == (number not in (2, 4)) and not seen
    if site is not None:
        assert site == Site("north", (3, 4), SEED, options={"fold": "2"})


def test_custom_factories_take_the_site() -> None:
    class Mean:
        dim = 2

        def __init__(self, site: Site, workers: int) -> None:
            self.rows = np.full(2, float(site.options["value"]), np.float32)

        def initial(self) -> Any:
            return np.zeros(2, np.float32)

        def gradient(self, params: Any, *, round: int, worker: int) -> Gradient:
            return Gradient(params - self.rows, None, 1)

        def evaluate(self, params: Any) -> dict[str, float]:
            return {}

    module.Mean = Mean  # type: ignore[attr-defined]
    site = Site(options={"value": "3"})
    task = build_task(
        "custom(a_users_torch:Mean)", workers=2, seed=0, site=site, allow_import=["a_users_torch:Mean"]
    )
    assert task.gradient(task.initial(), round=0, worker=0).value.tolist() == [-3, -3]


def test_warning_where_common_data_may_be_meant(caplog: pytest.LogCaptureFixture) -> None:
    def without(seed: int) -> TorchProblem:
        return of(Rows(20))(None)

    with caplog.at_level(logging.WARNING):
        built(without, workers=2, hosted=(0, 1))  # one process hosts all workers
        built(without, workers=2, hosted=(0,), partition="iid")
        built(of(Rows(20)), workers=2, hosted=(0,))  # takes the site
        assert not caplog.records
        built(without, workers=2, hosted=(0,))
    (record,) = caplog.records
    assert "takes no site: what it loads counts as this site's own" in record.getMessage()
    assert "--partition iid" in record.getMessage()
