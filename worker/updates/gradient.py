"""The task's gradient at the model as the update: the server's optimizer takes the only step of a round."""

from __future__ import annotations

from collections.abc import Mapping

from gradwire.common.arrays.compat import Array
from gradwire.common.training.model import Model
from gradwire.worker.tasks import Gradient, Task
from gradwire.worker.updates.base import Remembering, State, UpdateSource, restore_task_state, task_state


class TaskGradient(UpdateSource):
    """One gradient at the model's parameters."""

    def __init__(self, task: Task) -> None:
        self._task = task

    @property
    def dim(self) -> int:
        return self._task.dim

    @property
    def remembers(self) -> bool:
        return isinstance(self._task, Remembering)

    def update(self, model: Model, *, round: int, worker: int) -> Gradient:
        return self._task.gradient(model.params, round=round, worker=worker)

    def state(self, worker: int) -> State:
        return task_state(self._task, worker)

    def restore(self, worker: int, state: Mapping[str, Array]) -> None:
        restore_task_state(self._task, worker, state)
