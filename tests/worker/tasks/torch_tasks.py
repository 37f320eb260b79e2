"""Torch tasks built as if their factory stood in a user's module."""

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradwire.common.spec import parse_spec
from gradwire.common.training.layout import Role
from gradwire.worker.data import load
from gradwire.worker.site import Site
from gradwire.worker.tasks import build_task
from gradwire.worker.tasks.checked import CheckedTask

torch = pytest.importorskip("torch")
from gradwire.worker.tasks.torch import TorchProblem  # noqa: E402

WORKERS, SEED = 5, 9
TARGET = "a_users_torch:factory"
module = sys.modules.setdefault("a_users_torch", types.ModuleType("a_users_torch"))


def built(
    factory: Callable[..., Any],
    arguments: str = "batch=0",
    *,
    workers: int = WORKERS,
    hosted: tuple[int, ...] | None = None,
    partition: str | None = None,
    **of_site: Any,
) -> CheckedTask:
    """The task of a factory, at a site that hosts all workers or those that are listed."""
    module.factory = factory  # type: ignore[attr-defined]
    hosted = tuple(range(workers)) if hosted is None else hosted
    task = build_task(
        f"torch({TARGET}, {arguments})",
        workers=workers,
        seed=SEED,
        site=Site(workers=hosted, seed=SEED, **of_site),
        partition=None if partition is None else parse_spec(partition),
        allow_import=[TARGET],
    )
    assert isinstance(task, CheckedTask)
    return task


def of_module(make: Callable[[], Any], inputs: Any, targets: Any, **more: Any) -> Callable[..., TorchProblem]:
    """A factory of a module on fixed data, evaluated on the same data."""
    data = {"loss": torch.nn.functional.mse_loss, "train": (inputs, targets), "test": (inputs, targets)}
    return lambda: TorchProblem(make(), **{**data, **more})


def digits() -> tuple[Any, Any, Any, Any]:
    data = load("digits")
    return tuple(torch.tensor(part) for part in (data.x_train, data.y_train, data.x_test, data.y_test))


def state_dict(task: CheckedTask, params: NDArray[np.float32]) -> dict[str, Any]:
    """What a user loads: every array of the layout in its own dtype, by each of its names."""
    state = {}
    for array, values in task.layout.views(params):
        dtype = getattr(torch, array.dtype)
        state |= dict.fromkeys((array.name, *array.aliases), torch.tensor(values).to(dtype))
    constants = zip(task.layout.constants, task.constants(), strict=True)
    for array, data in constants:
        raw = (
            torch.frombuffer(bytearray(data), dtype=torch.uint8)
            if data
            else torch.zeros(0, dtype=torch.uint8)
        )
        values = raw.view(getattr(torch, array.dtype)).reshape(array.shape)
        state |= dict.fromkeys((array.name, *array.aliases), values)
    return state


def names(task: CheckedTask, role: Role) -> list[str]:
    return [array.name for array in task.layout.arrays if array.role is role]


def stepped(
    task: CheckedTask, params: NDArray[np.float32], steps: int, lr: float = 0.1
) -> NDArray[np.float32]:
    """Plain SGD on the trained part, rate 1 on the averaged one: what a run does with one worker."""
    rates = np.where(np.arange(task.dim) < task.layout.trained, lr, 1).astype(np.float32)
    for step in range(steps):
        params = params - rates * task.gradient(params, round=step, worker=0).value.numpy()
    return params
