"""How one data set, the same at every process, is dealt to all workers of a run: ``iid``, ``dirichlet``, ``shards``.

``--partition`` names one. Every process computes the whole deal from the seed, so that workers' rows are disjoint
without a message.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import SpecError, TaskError
from gradwire.common.registry import Registry
from gradwire.common.spec import Spec, parse_spec
from gradwire.worker.tasks.random_streams import random_stream

MIN_SAMPLES = 10  # of a worker in a Dirichlet partition
MAX_DRAWS = 1_000  # of shares, until each worker has that many
MAX_SHARDS = 1_000  # per worker

Rows = NDArray[np.intp]


class Partition(ABC):
    """The parameters of a deal, from its spec: a frozen dataclass."""

    name: ClassVar[str]
    needs_labels: ClassVar[bool] = True

    @abstractmethod
    def deal(self, samples: int, labels: NDArray[Any], workers: int, seed: int) -> tuple[Rows, Rows]:
        """Row numbers, worker after worker, and the number of rows of each.

        Args:
            samples: rows to deal.
            labels: any values that can be sorted [samples]; not read where ``needs_labels`` is false.
            workers: of the run, at most ``samples``.
            seed: of the run.

        Raises:
            TaskError: no such deal.
        """


_REGISTRY: Registry[Partition] = Registry("partition", Partition)


def parse_partition(text: str | Spec) -> Partition:
    """A partition from its spec.

    Raises:
        SpecError: unknown name, unknown argument or a value outside its range.

    >>> parse_partition("dirichlet(0.1)")
    Dirichlet(alpha=0.1)
    """
    return _REGISTRY.build(parse_spec(text) if isinstance(text, str) else text)


def even_sizes(samples: int, parts: int) -> Rows:
    """Sizes of ``parts`` parts that differ by at most one, the larger ones first.

    >>> even_sizes(10, 3).tolist()
    [4, 3, 3]
    """
    share, extra = divmod(samples, parts)
    return share + (np.arange(parts) < extra).astype(np.intp)


@_REGISTRY.register
@dataclass(frozen=True)
class Iid(Partition):
    """A permutation, cut into parts whose sizes differ by at most one."""

    name = "iid"
    needs_labels = False

    def deal(self, samples: int, labels: NDArray[Any], workers: int, seed: int) -> tuple[Rows, Rows]:
        return random_stream(seed, "shards").permutation(samples), even_sizes(samples, workers)


@_REGISTRY.register
@dataclass(frozen=True)
class Dirichlet(Partition):
    """Each class is dealt to the workers in shares drawn from Dir(alpha, …, alpha) ([NIID]).

    Where classes are equally large and workers are many, a worker's mixture of classes has the law Dir(alpha) over
    the classes, as in [Dirichlet]. Every sample is dealt, so the workers' sizes differ, too. Shares are drawn again
    until each worker has at least 10 samples.

    Attributes:
        alpha: concentration; 100 is nearly iid, 0.1 leaves most workers with one or two classes.
    """

    alpha: float

    name = "dirichlet"

    def __post_init__(self) -> None:
        if not 0 < self.alpha < math.inf:
            raise SpecError(f"dirichlet: alpha is {self.alpha}, expected a number above 0")

    def deal(self, samples: int, labels: NDArray[Any], workers: int, seed: int) -> tuple[Rows, Rows]:
        if samples < MIN_SAMPLES * workers:
            raise TaskError(
                f"{samples} samples cannot give {workers} workers at least {MIN_SAMPLES} each: "
                f"use at most {samples // MIN_SAMPLES} workers"
            )
        _, classes, totals = np.unique(labels, return_inverse=True, return_counts=True)
        counts = self._counts(totals, workers, seed)
        rng = random_stream(seed, "partition rows")
        rows = np.concatenate([rng.permutation(np.flatnonzero(classes == k)) for k in range(len(totals))])
        owners = np.concatenate([np.repeat(np.arange(workers), of_class) for of_class in counts])
        return rows[np.argsort(owners, kind="stable")], counts.sum(axis=0)

    def _counts(self, totals: Rows, workers: int, seed: int) -> Rows:
        """Samples by class and worker [classes, workers]."""
        rng = random_stream(seed, "partition shares")
        for _ in range(MAX_DRAWS):
            ends = [np.rint(total * np.cumsum(self._shares(rng, workers))) for total in totals]
            counts: Rows = np.diff(np.array(ends), axis=1, prepend=0).astype(np.intp)
            if counts.sum(axis=0).min() >= MIN_SAMPLES:
                return counts
        raise TaskError(
            f"dirichlet({self.alpha}) gave some of the {workers} workers fewer than {MIN_SAMPLES} samples "
            f"in each of {MAX_DRAWS:,} draws: use a larger alpha, or fewer workers"
        )

    def _shares(self, rng: np.random.RandomState, workers: int) -> NDArray[np.float64]:
        """One draw of Dir(alpha, …, alpha), as normalised Gamma variables.

        Gamma(alpha) = Gamma(alpha + 1) U^(1/alpha), in logarithms: for a small alpha it would be 0 for every worker.
        """
        uniform = 1 - rng.random_sample(workers)  # in (0, 1]
        logarithms = np.log(rng.standard_gamma(self.alpha + 1, workers)) + np.log(uniform) / self.alpha
        shares: NDArray[np.float64] = np.exp(logarithms - logarithms.max())
        shares /= shares.sum()
        return shares


@_REGISTRY.register
@dataclass(frozen=True)
class LabelShards(Partition):
    """Samples sorted by label and cut into per_worker · workers shards, of which each worker gets as many ([FedAvg]).

    Attributes:
        per_worker: shards of each worker; 2 in the paper.
    """

    per_worker: int = 2

    name = "shards"

    def __post_init__(self) -> None:
        if not 1 <= self.per_worker <= MAX_SHARDS:
            raise SpecError(f"shards: per_worker is {self.per_worker}, expected 1 to {MAX_SHARDS}")

    def deal(self, samples: int, labels: NDArray[Any], workers: int, seed: int) -> tuple[Rows, Rows]:
        total = self.per_worker * workers
        if samples < total:
            raise TaskError(
                f"{samples} samples cannot be cut into {total} shards, {self.per_worker} for each worker: "
                f"use fewer workers"
            )
        by_label = np.argsort(labels, kind="stable")
        pieces = np.split(by_label, np.cumsum(even_sizes(samples, total))[:-1])
        dealt = random_stream(seed, "partition shards").permutation(total)
        sizes = np.array([len(pieces[k]) for k in dealt]).reshape(workers, -1).sum(axis=1)
        return np.concatenate([pieces[k] for k in dealt]), sizes
