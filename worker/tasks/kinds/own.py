"""``own``: the sites train in loops of their own, which join the run with ``gradwire.join``."""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.common.errors import TaskError
from gradwire.common.spec import Spec
from gradwire.common.training.config import OWN
from gradwire.worker.site import Site
from gradwire.worker.tasks.base import Task, TaskKind
from gradwire.worker.tasks.registry import register_task


@register_task
@dataclass(frozen=True)
class OwnKind(TaskKind):
    """A task without code: model, data, loss and steps are those of each site's program."""

    name = OWN

    @property
    def own_data(self) -> bool:
        """Each program has its own."""
        return True

    @property
    def known_dim(self) -> int | None:
        """None: the first model that joins has it."""
        return None

    def build(self, site: Site, *, workers: int, partition: Spec | None = None) -> Task:
        """Refuse: only a program of the user's has such a task.

        Raises:
            TaskError: always.
        """
        raise TaskError(
            "this run's sites train in loops of their own: join it from a Python program with gradwire.join, "
            "not with gradwire worker"
        )
