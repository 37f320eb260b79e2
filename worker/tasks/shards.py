"""Which samples a logical worker trains on: its shard, and its batch in each round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import TaskError
from gradwire.common.spec import Spec
from gradwire.worker.site import Site
from gradwire.worker.tasks.partitions import Iid, Partition, Rows, even_sizes, parse_partition
from gradwire.worker.tasks.random_streams import random_stream

_NO_LABELS: NDArray[np.int64] = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Shards:
    """The rows of each worker, and its batches.

    Attributes:
        workers: ids of the workers that have rows here.
        sizes: how many rows each of them has [len(workers)].
        order: row numbers, worker after worker; None where they are 0, 1, 2, ….
        seed: of the run.
        batch: samples drawn from a worker's shard without replacement in each round; 0 means all of them, and so does
            a batch that is larger than the shard.
    """

    workers: Sequence[int]
    sizes: Rows
    order: Rows | None
    seed: int
    batch: int = 0

    # ---- dealing ---------------------------------------------------------------------------------------------

    @classmethod
    def even(cls, samples: int, workers: int, seed: int, batch: int = 0) -> Shards:
        """One data set, permuted once and dealt to the workers 0 … ``workers`` - 1 of a run.

        Shards are disjoint and complete; their sizes differ by at most one.

        Args:
            samples: rows to deal.
            workers: of the run.
            seed: of the run.
            batch: see the class.

        Raises:
            TaskError: more workers than samples.

        >>> [Shards.even(samples=10, workers=3, seed=0).size(worker) for worker in range(3)]
        [4, 3, 3]
        """
        return cls.partitioned(_NO_LABELS, samples, workers, seed, Iid(), batch)

    @classmethod
    def partitioned(
        cls,
        labels: NDArray[Any] | None,
        samples: int,
        workers: int,
        seed: int,
        partition: Partition | Spec,
        batch: int = 0,
    ) -> Shards:
        """One data set, the same at every process, dealt to all workers of a run as a partition says.

        Args:
            labels: of the rows [samples]; None where there are none.
            samples: rows to deal.
            workers: of the run.
            seed: of the run.
            partition: or its spec.
            batch: see the class.

        Raises:
            SpecError: no such partition.
            TaskError: more workers than samples, too few for this partition, or no labels for one that needs them.
        """
        kind = parse_partition(partition) if isinstance(partition, Spec) else partition
        if kind.needs_labels and labels is None:
            raise TaskError(f"the partition {kind.name} deals by label, and these data have none: use iid")
        _require_rows(samples, workers)
        order, sizes = kind.deal(samples, _NO_LABELS if labels is None else labels, workers, seed)
        return cls(range(workers), sizes, order, seed, batch)

    @classmethod
    def own(cls, samples: int, site: Site, batch: int = 0) -> Shards:
        """A site's own data, dealt evenly to the workers of the site; one worker has the rows as they stand.

        Raises:
            TaskError: more workers than samples.
        """
        workers = len(site.workers)
        _require_rows(samples, workers)
        order = random_stream(site.seed, "shards").permutation(samples) if workers > 1 else None
        return cls(site.workers, even_sizes(samples, workers), order, site.seed, batch)

    # ---- rows ------------------------------------------------------------------------------------------------

    @property
    def samples(self) -> int:
        """Rows in all shards."""
        return self._starts[-1]

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *np.cumsum(self.sizes).tolist()]

    @cached_property
    def _places(self) -> dict[int, int]:
        return {worker: place for place, worker in enumerate(self.workers)}

    def _bounds(self, worker: int) -> tuple[int, int]:
        place = self._places.get(worker)
        if place is None:
            raise TaskError(f"worker {worker} is outside {_listed(self.workers)}")
        return self._starts[place], self._starts[place + 1]

    def size(self, worker: int) -> int:
        """Samples in a worker's shard.

        Raises:
            TaskError: no such worker.
        """
        start, end = self._bounds(worker)
        return end - start

    def shard(self, worker: int) -> Rows:
        """Row numbers of a worker's samples, int [size(worker)].

        Raises:
            TaskError: no such worker.
        """
        start, end = self._bounds(worker)
        return np.arange(start, end, dtype=np.intp) if self.order is None else self.order[start:end]

    def draw(self, worker: int, round: int) -> Rows:
        """Row numbers of the samples that a worker uses in a round: its batch, or its shard.

        A batch costs time in proportion to itself, not to the shard.

        Raises:
            TaskError: no such worker.
        """
        start, end = self._bounds(worker)
        if self.batch == 0 or self.batch >= end - start:
            return self.shard(worker)
        picked = start + distinct(random_stream(self.seed, "batch", round, worker), end - start, self.batch)
        return picked if self.order is None else self.order[picked]


def distinct(rng: np.random.RandomState, population: int, count: int) -> Rows:
    """``count`` different numbers below ``population``, int [count]: every ordered choice is equally likely.

    The first ``count`` different ones of a sequence of independent uniform numbers; from half of the population on,
    the beginning of a permutation.
    """
    if 2 * count >= population:
        picked: Rows = rng.permutation(population)[:count]
        return picked
    drawn = np.zeros(0, np.int64)
    while len(drawn) < count:
        # At most half of the population is taken, so this many are rarely too few.
        more = rng.randint(population, size=2 * (count - len(drawn)) + 8, dtype=np.int64)
        sequence = np.append(drawn, more)
        _, first = np.unique(sequence, return_index=True)
        drawn = sequence[np.sort(first)]
    return drawn[:count].astype(np.intp)


def _require_rows(samples: int, workers: int) -> None:
    if workers < 1:
        raise TaskError(f"a task for {workers} workers was asked for, expected at least 1")
    if samples < workers:
        raise TaskError(
            f"{samples} samples cannot be dealt to {workers} workers: a shard would be empty; "
            f"use at most {samples} workers"
        )


def _listed(workers: Sequence[int]) -> str:
    consecutive = list(workers) == list(range(workers[0], workers[0] + len(workers)))
    if consecutive:
        return f"{workers[0]} … {workers[-1]}"
    return ", ".join(map(str, workers[:8])) + " …" * (len(workers) > 8)
