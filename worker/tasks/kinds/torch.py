"""``torch(package.module:factory)``: a user's torch module; torch itself is imported when the task is built."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec

from gradwire.common.errors import SpecError, TaskError
from gradwire.common.spec import Spec
from gradwire.worker.site import Site
from gradwire.worker.tasks.base import Task, require_at_least
from gradwire.worker.tasks.checked import CheckedTask, user_code
from gradwire.worker.tasks.imports import ImportingKind
from gradwire.worker.tasks.registry import register_task


@register_task
@dataclass(frozen=True)
class TorchKind(ImportingKind):
    """A torch module with its loss and data.

    Attributes:
        target: where the factory is, ``package.module:factory``; see torch_task.TorchProblem.
        batch: samples per round; 0 is the worker's whole shard.
        device: cpu, cuda, cuda:1, … or auto, which is a GPU where this worker has one.
    """

    batch: int = 0
    device: str = "auto"

    name = "torch"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(0, "torch", batch=self.batch)
        if re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device) is None:
            raise SpecError(f"torch: device is {self.device!r}, expected cpu, cuda, cuda:1 or auto")

    def build(self, site: Site, *, workers: int, partition: Spec | None = None) -> Task:
        """Import the factory, call it with torch seeded, and deal its data.

        Raises:
            TaskError: torch or the device is missing, the target is not allowed here, its result is not a
                TorchProblem that can be trained, or too many workers, or too large a batch, for its samples.
        """
        if find_spec("torch") is None:
            raise TaskError("the torch task needs torch: install it with pip install 'gradwire[torch]'")
        from gradwire.worker.tasks.torch_task import build  # imports torch, which other tasks do without

        factory = self.factory()
        with user_code(f"{self.target}(seed={site.seed})"):
            task = build(factory, device=self.device, batch=self.batch, workers=workers, seed=site.seed)
        return CheckedTask(task, self.target)
