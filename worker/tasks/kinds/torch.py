"""``torch(package.module:factory)``: a user's torch module; torch itself is imported when the task is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec

from gradwire.common.errors import SpecError, TaskError
from gradwire.common.spec import Spec
from gradwire.worker.site import Site
from gradwire.worker.tasks.base import Task, require_at_least
from gradwire.worker.tasks.checked import CheckedTask, user_code
from gradwire.worker.tasks.imports import ImportingKind
from gradwire.worker.tasks.registry import register_task

BUFFERS = ("averaged", "local")


@register_task
@dataclass(frozen=True)
class TorchKind(ImportingKind):
    """A torch module with its loss and data.

    Attributes:
        target: where the factory is, ``package.module:factory``; see ``gradwire.TorchProblem``.
        batch: samples per gradient, at most the worker's shard; 0 is the whole shard. A DataLoader has its own.
        chunk: most samples in one forward pass, whose gradients are added up; 0 is the batch, or 256 of a whole shard.
        buffers: running statistics are ``averaged`` over the workers, or ``local`` to each.
        device: refused: each worker has its own, ``--device``.
    """

    batch: int = 32
    chunk: int = field(default=0, metadata={"later": True})
    buffers: str = field(default="averaged", metadata={"later": True})
    device: str = field(default="", metadata={"later": True})

    name = "torch"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(0, "torch", batch=self.batch, chunk=self.chunk)
        if self.buffers not in BUFFERS:
            raise SpecError(f"torch: buffers is {self.buffers!r}, expected {' or '.join(BUFFERS)}")
        if self.device:
            raise SpecError(f"torch: device is each worker's own: pass --device {self.device} to the worker")

    def build(self, site: Site, *, workers: int, partition: Spec | None = None) -> Task:
        """Import the factory, call it with all generators seeded, and deal its data.

        Raises:
            TaskError: torch or the device is missing, the target is not allowed here, its result is not a
                TorchProblem that can be trained, or its data cannot be dealt.
        """
        if find_spec("torch") is None:
            raise TaskError("the torch task needs torch: install it with pip install 'gradwire[torch]'")
        from gradwire.worker.tasks.torch.build import (  # imports torch, which other tasks do without
            Batching,
            build,
        )

        batching = Batching(batch=self.batch, chunk=self.chunk, local=self.buffers == "local")
        factory = self.factory()
        with user_code(self.target):
            task = build(factory, self.target, batching, site=site, workers=workers, partition=partition)
        return CheckedTask(task, self.target)
