"""Which samples a logical worker trains on: its shard, and its batch in each round."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import TaskError
from gradwire.worker.tasks.random_streams import random_stream


@dataclass(frozen=True)
class Shards:
    """Samples permuted once and dealt to the workers: disjoint, complete, with sizes that differ by at most one.

    Attributes:
        batch: samples drawn from a worker's shard without replacement in each round; 0 means all of them.

    Raises:
        TaskError: more workers than samples, or a batch that some shard cannot fill.

    >>> [Shards(samples=10, workers=3, seed=0).size(worker) for worker in range(3)]
    [4, 3, 3]
    """

    samples: int
    workers: int
    seed: int
    batch: int = 0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise TaskError(f"a task for {self.workers} workers was asked for, expected at least 1")
        if self.samples < self.workers:
            raise TaskError(
                f"{self.samples} samples cannot be dealt to {self.workers} workers: a shard would be empty; "
                f"use at most {self.samples} workers"
            )
        smallest = self.samples // self.workers
        if self.batch > smallest:
            raise TaskError(
                f"batch={self.batch} is more than the {smallest} samples of a shard ({self.samples} over "
                f"{self.workers} workers); lower the batch, or write batch=0 for the whole shard"
            )

    @cached_property
    def _dealt(self) -> NDArray[np.intp]:
        return random_stream(self.seed, "shards").permutation(self.samples)

    def _start(self, worker: int) -> int:
        share, extra = divmod(self.samples, self.workers)
        return worker * share + min(worker, extra)

    def size(self, worker: int) -> int:
        """Samples in a worker's shard.

        Raises:
            TaskError: no such worker.
        """
        if not 0 <= worker < self.workers:
            raise TaskError(f"worker {worker} is outside 0 … {self.workers - 1}")
        return self._start(worker + 1) - self._start(worker)

    def shard(self, worker: int) -> NDArray[np.intp]:
        """Row numbers of a worker's samples, int [size(worker)].

        Raises:
            TaskError: no such worker.
        """
        start = self._start(worker)
        return self._dealt[start : start + self.size(worker)]

    def draw(self, worker: int, round: int) -> NDArray[np.intp]:
        """Row numbers of the samples that a worker uses in a round: its batch, or its shard.

        Raises:
            TaskError: no such worker.
        """
        rows = self.shard(worker)
        if self.batch == 0 or self.batch == len(rows):
            return rows
        picked = random_stream(self.seed, "batch", round, worker).permutation(len(rows))[: self.batch]
        return rows[picked]
