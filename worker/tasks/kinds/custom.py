"""``custom(package.module:factory)``: a user's own task, any object that meets the Task protocol."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwire.common.errors import TaskError
from gradwire.common.spec import Spec
from gradwire.worker.site import Site
from gradwire.worker.tasks.base import Task
from gradwire.worker.tasks.checked import CheckedTask
from gradwire.worker.tasks.factories import call_factory
from gradwire.worker.tasks.imports import ImportingKind
from gradwire.worker.tasks.registry import register_task

_MEMBERS = ("dim", "initial", "gradient", "evaluate")


@register_task
@dataclass(frozen=True)
class CustomKind(ImportingKind):
    """A task from a factory, which may take any of ``workers``, ``seed`` and ``site``.

    Attributes:
        target: where the factory is, ``package.module:factory``.
    """

    name = "custom"

    def build(self, site: Site, *, workers: int, partition: Spec | None = None) -> Task:
        """Import the factory and call it.

        Raises:
            TaskError: not allowed here, not to be imported, it raised, or its result is not a task.
        """
        task = call_factory(self.factory(), self.target, site=site, workers=workers)
        missing = [name for name in _MEMBERS if not hasattr(task, name)]
        if not isinstance(task, Task):
            raise TaskError(
                f"{self.target} returned a {type(task).__name__} without {', '.join(missing)}: expected a task"
            )
        if isinstance(task.dim, bool) or not isinstance(task.dim, int | np.integer) or task.dim < 1:
            raise TaskError(
                f"{self.target}: its task has dim {task.dim!r}, expected a whole number of at least 1"
            )
        return CheckedTask(task, self.target)
