"""``least_squares(samples, dim)``: the regression of [V] section 7, with a known optimum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradwire.common.spec import Spec
from gradwire.common.system.memory import require_memory
from gradwire.worker.site import Site
from gradwire.worker.tasks.base import Gradient, TaskKind, checked_loss, checked_params, require_at_least
from gradwire.worker.tasks.own_data import refuse_own_data
from gradwire.worker.tasks.partitions import Iid, Rows
from gradwire.worker.tasks.random_streams import random_stream
from gradwire.worker.tasks.registry import register_task
from gradwire.worker.tasks.shards import Shards
from gradwire.worker.tasks.supervised import Floats, mean_in_chunks


@dataclass(frozen=True)
class LeastSquaresTask:
    """Minimise (1/2n) |A θ - b|², where A [n, dim] and θ* [dim] have N(0, 1) entries and b = A θ*.

    [V] prints |A θ - b|²; the factor 1/2n moves no optimum and makes the expected Hessian the identity, so a
    learning rate means the same at every n. A worker's gradient is Aₛᵀ(Aₛ θ - bₛ)/m over the m rows it uses.
    All of A is drawn, in float32, when first needed (4 n dim bytes): it does not depend on the number of workers.
    """

    dim: int
    shards: Shards

    @cached_property
    def optimum(self) -> NDArray[np.float32]:
        """θ*, float32 [dim]."""
        return (
            random_stream(self.shards.seed, "least squares optimum")
            .standard_normal(self.dim)
            .astype(np.float32)
        )

    @cached_property
    def _system(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rng = random_stream(self.shards.seed, "least squares matrix")
        matrix = np.empty((self.shards.samples, self.dim), np.float32)
        for row in matrix:  # row by row: float64 draws of the whole matrix would take twice its memory
            row[...] = rng.standard_normal(self.dim)
        return matrix, matrix @ self.optimum

    def initial(self) -> NDArray[np.float32]:
        """Zeros [dim], at distance about sqrt(dim) from the optimum."""
        return np.zeros(self.dim, np.float32)

    def gradient(self, params: NDArray[np.float32], *, round: int, worker: int) -> Gradient:
        """Gradient of the objective over this worker's rows.

        Raises:
            TaskError: no such worker, or parameters of another shape.
            NotFiniteError: the loss is not finite.
        """
        params = checked_params(params, self.dim)
        rows = self.shards.draw(worker, round)
        with np.errstate(over="ignore", invalid="ignore"):  # checked_loss reports it
            loss, value = mean_in_chunks(rows, lambda part: self._gradient(params, part))
        return Gradient(value, checked_loss(loss, round=round, worker=worker), len(rows))

    def _gradient(self, params: NDArray[np.float32], rows: Rows) -> tuple[float, Floats]:
        matrix, target = (part[rows] for part in self._system)
        residual = matrix @ params - target
        loss = float(np.vdot(residual, residual)) / (2 * len(rows))
        return loss, residual @ matrix / np.float32(len(rows))

    def size(self, worker: int) -> int:
        """Rows in a worker's shard.

        Raises:
            TaskError: no such worker.
        """
        return self.shards.size(worker)

    def evaluation_size(self) -> int:
        """All samples: the objective is over them."""
        return self.shards.samples

    def evaluate(self, params: NDArray[np.float32]) -> dict[str, float]:
        """``distance`` = |θ* - θ|₂, the measure of [V] Figure 2, and ``loss``, the objective over all samples.

        Raises:
            TaskError: parameters of another shape.
        """
        error = checked_params(params, self.dim) - self.optimum
        residual = self._system[0] @ error
        loss = float(np.vdot(residual, residual)) / (2 * self.shards.samples)
        return {"distance": float(np.linalg.norm(error)), "objective": loss}


@register_task
@dataclass(frozen=True)
class LeastSquaresKind(TaskKind):
    """Least squares with a known optimum.

    Attributes:
        samples: rows of A; the paper deals 10,000 to 500 workers.
        dim: columns of A; 100, 200 and 500 in the paper.
        batch: rows per round; 0 is the worker's whole shard.
    """

    samples: int = 10_000
    dim: int = 200
    batch: int = 0

    name = "least_squares"

    def __post_init__(self) -> None:
        require_at_least(1, "least_squares", samples=self.samples, dim=self.dim)
        require_at_least(0, "least_squares", batch=self.batch)

    @property
    def known_dim(self) -> int:
        """Length of the parameter vector."""
        return self.dim

    def build(self, site: Site, *, workers: int, partition: Spec | None = None) -> LeastSquaresTask:
        """Make the task; the matrix is drawn when it is first needed.

        Raises:
            TaskError: too many workers for the samples, or flags of the site that the task would ignore.
            ConfigError: this machine's memory does not hold the matrix.
        """
        refuse_own_data(site, self.name)
        require_memory(4 * self.samples * self.dim, f"the matrix of {self.samples:,} by {self.dim:,} numbers")
        shards = Shards.partitioned(None, self.samples, workers, site.seed, partition or Iid(), self.batch)
        return LeastSquaresTask(self.dim, shards)
