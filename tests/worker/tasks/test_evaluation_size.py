"""How many held-out samples a task says it has, and whether its data are each process's own."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import TaskError
from gradwire.common.training.config import RunConfig
from gradwire.common.transport.specs import run_to_message
from gradwire.proto import wire_pb2
from gradwire.worker import messages
from gradwire.worker.privacy import Limits
from gradwire.worker.run_state import RunState
from gradwire.worker.site import Site
from gradwire.worker.tasks import Task, build_task, parse_task
from gradwire.worker.tasks.base import evaluation_size
from tests.worker.toy_tasks import Logistic

TARGET = "a_users_sizes:make"


class Sized(Logistic):
    size_of_test: Any = 7

    def evaluation_size(self) -> Any:
        if self.size_of_test == "raise":
            raise ValueError("no test set")
        return self.size_of_test


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    made = types.ModuleType("a_users_sizes")
    made.make = Sized  # type: ignore[attr-defined]
    sys.modules["a_users_sizes"] = made
    yield made
    del sys.modules["a_users_sizes"]


def sized(size: Any, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setattr(Sized, "size_of_test", size)
    return build_task(f"custom({TARGET})", workers=2, seed=0, allow_import=[TARGET])


@pytest.mark.parametrize("size", [0, 7, np.int64(5), 1 << 53, None])
def test_custom_task_says_its_size(size: Any, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert evaluation_size(sized(size, monkeypatch)) == size


@pytest.mark.parametrize("size", [-1, 2.0, True, "7", (1 << 53) + 1, "raise"])
def test_size_that_is_none_is_refused(size: Any, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = sized(size, monkeypatch)
    with pytest.raises(TaskError, match=r"a_users_sizes:make: evaluation_size\(\)"):
        evaluation_size(task)


def test_task_that_does_not_say_it_is_of_unknown_size(module: Any) -> None:
    module.make = Logistic
    assert evaluation_size(build_task(f"custom({TARGET})", workers=2, seed=0, allow_import=[TARGET])) is None


@pytest.mark.parametrize(
    ("test", "before", "after"),
    [("none", 0, 0), ("tensors", None, 9), ("loader", None, 9), ("stream", None, 9)],
)
def test_torch_task_counts_what_it_evaluates(test: str, before: int | None, after: int) -> None:
    torch = pytest.importorskip("torch")
    from tests.worker.tasks.torch_tasks import TorchProblem, built

    rows = torch.ones(9, 2), torch.ones(9, 1)
    whole = torch.utils.data.TensorDataset(*rows)
    given = {
        "none": None,
        "tensors": rows,
        "loader": torch.utils.data.DataLoader(whole, batch_size=4),
        "stream": [(rows[0][a : a + 4], rows[1][a : a + 4]) for a in (0, 4, 8)].__iter__(),
    }
    problem = TorchProblem(torch.nn.Linear(2, 1), torch.nn.functional.mse_loss, rows, given[test])
    task = built(lambda: problem, "batch=4", workers=2)
    assert evaluation_size(task) == before
    task.evaluate(np.zeros(3, np.float32))
    assert evaluation_size(task) == after


# ---- Ready ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "own"),
    [
        ("softmax(file)", True), ("softmax(digits)", False), ("least_squares(samples=4, dim=2)", False),
        ("synthetic(3)", False), ("custom(a:b)", True), ("torch(a:b)", True),
    ],
)  # fmt: skip
def test_kinds_that_hold_data_of_each_process(task: str, own: bool) -> None:
    assert parse_task(task).own_data is own


@pytest.mark.parametrize(
    ("options", "changes", "limits", "evaluates"),
    [
        ({"holdout": "0.25"}, {}, None, True),
        ({}, {}, None, False),
        ({"holdout": "0.25"}, {"partition": "iid"}, None, False),
        ({"holdout": "0.25"}, {"codec": "private_top(epsilon=1)"}, None, False),
        ({"holdout": "0.25"}, {"codec": "private_top(epsilon=1)"}, Limits(report_metrics=True), True),
    ],
)
def test_ready_says_whether_the_process_evaluates(
    options: dict[str, str], changes: dict[str, str], limits: Limits | None, evaluates: bool, tmp_path: Path
) -> None:
    data = tmp_path / "a.csv"
    data.write_text("a,y\n" + "".join(f"{k},{k % 2}\n" for k in range(8)), encoding="utf-8")
    config = RunConfig(task="softmax(file, features=1, classes=2)", workers=2, **changes)  # type: ignore[arg-type]
    state = RunState(limits=limits, site=Site(data=data, options=options))
    state.prepare(wire_pb2.Welcome(run=run_to_message(config, b"run"), workers=(1,)))
    assert messages.ready(state).ready.evaluates is evaluates
    assert state.reports_metrics is evaluates
    state.reports.named = True
    assert state.reports_metrics is (limits is not None or "codec" not in changes)
    if evaluates:
        report = state.reports.evaluate(state.model)
        assert report is not None and report.examples == (2 if limits is None else 0)
