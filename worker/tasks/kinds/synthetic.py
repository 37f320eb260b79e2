"""``synthetic(dim)``: a gradient of random numbers, to measure transport and codecs without a model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import TaskError
from gradwire.common.spec import Spec
from gradwire.worker.site import Site
from gradwire.worker.tasks.base import Gradient, TaskKind, check_worker, checked_params, require_at_least
from gradwire.worker.tasks.own_data import refuse_own_data
from gradwire.worker.tasks.random_streams import random_stream
from gradwire.worker.tasks.registry import register_task


@dataclass(frozen=True, eq=False)
class SyntheticTask:
    """Each worker answers every round with the one vector that it drew, N(0, 1/dim) in each coordinate.

    Its squared norm is 1 in expectation. Memory: 4 dim bytes for each logical worker that has been asked.
    """

    dim: int
    workers: int
    seed: int
    _drawn: dict[int, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def initial(self) -> NDArray[np.float32]:
        """Zeros [dim]."""
        return np.zeros(self.dim, np.float32)

    def gradient(self, params: NDArray[np.float32], *, round: int, worker: int) -> Gradient:
        """The worker's vector, read-only, the same in every round.

        Raises:
            TaskError: no such worker, or parameters of another shape.
        """
        checked_params(params, self.dim)
        check_worker(worker, self.workers)
        if worker not in self._drawn:
            self._drawn[worker] = self._draw(worker)
        return Gradient(self._drawn[worker], loss=None, examples=1)

    def size(self, worker: int) -> int:
        """One: there are no samples, and all workers weigh alike."""
        return 1

    def evaluation_size(self) -> int:
        """None at all."""
        return 0

    def _draw(self, worker: int) -> NDArray[np.float32]:
        drawn = random_stream(self.seed, "synthetic", worker).standard_normal(self.dim)
        value = np.divide(drawn, np.sqrt(self.dim)).astype(np.float32)
        value.flags.writeable = False
        return value

    def evaluate(self, params: NDArray[np.float32]) -> dict[str, float]:
        """Nothing: the task has no model to evaluate."""
        return {}


@register_task
@dataclass(frozen=True)
class SyntheticKind(TaskKind):
    """Random gradients.

    Attributes:
        dim: length of the vector.
    """

    dim: int

    name = "synthetic"

    def __post_init__(self) -> None:
        require_at_least(1, "synthetic", dim=self.dim)

    @property
    def known_dim(self) -> int:
        """Length of the parameter vector."""
        return self.dim

    def build(self, site: Site, *, workers: int, partition: Spec | None = None) -> SyntheticTask:
        """Make the task; each vector is drawn in its worker's first round.

        Raises:
            TaskError: fewer than one worker, or flags of the site that the task would ignore.
        """
        refuse_own_data(site, self.name)
        if partition is not None:
            raise TaskError("synthetic has no data to deal: leave the partition out")
        if workers < 1:
            raise TaskError(f"a task for {workers} workers was asked for, expected at least 1")
        return SyntheticTask(self.dim, workers, site.seed)
