"""Where a task's batches come from: rows dealt to workers, or a loader's own batches in order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, repeat
from typing import Any, Protocol, TypeAlias

import torch
from torch.utils.data import DataLoader, IterableDataset

from gradwire.common.errors import TaskError
from gradwire.worker.tasks.shards import Shards
from gradwire.worker.tasks.torch.batches import moved, samples_in
from gradwire.worker.tasks.torch.devices import seeded
from gradwire.worker.tasks.torch.samples import Rows, Samples

# A batch on the device and its number of samples; None where a test set ends. Called with the generators seeded.
Fetch: TypeAlias = Callable[[], tuple[Any, int] | None]
_log = logging.getLogger(__name__)


class Feed(Protocol):
    """The training samples of the workers of a process."""

    @property
    def position(self) -> int | None:
        """How far a loader was read, in batches; None where rows are drawn by number."""

    def fetches(self, worker: int, round: int) -> Sequence[Fetch]:
        """The parts that a worker's samples of a round are read in, each for one forward pass."""

    def size(self, worker: int) -> int:
        """Samples in a worker's training set."""

    def skip_to(self, position: int) -> None:
        """Leave out what was read before a restart."""


@dataclass(frozen=True, eq=False)
class RowFeed:
    """Rows drawn from each worker's shard; a round's samples do not depend on those before.

    Attributes:
        chunk: most samples in one part.
    """

    samples: Samples
    shards: Shards
    chunk: int
    position: int | None = None

    def fetches(self, worker: int, round: int) -> list[Fetch]:
        """The rows of a round in parts of at most ``chunk``."""
        return in_parts(self.samples, self.shards.draw(worker, round), self.chunk)

    def size(self, worker: int) -> int:
        """Samples in a worker's shard."""
        return self.shards.size(worker)

    def skip_to(self, position: int) -> None:
        """Nothing: there is no position."""


class LoaderFeed:
    """The batches of a loader, epoch after epoch, given to the workers of this process in the order of their calls."""

    def __init__(self, loader: Iterable[Any], device: torch.device, seed: int) -> None:
        """Nothing is read yet.

        Args:
            loader: gives batches; iterated anew for each epoch, with the generators seeded.
            device: where batches go.
            seed: of the run.
        """
        self._loader, self._device, self._seed = loader, device, seed
        self._epoch = 0
        self._batches: Iterator[Any] | None = None
        self.position = 0  # batches read since the beginning of the run

    def fetches(self, worker: int, round: int) -> list[Fetch]:
        """The next batch, whole."""
        return [self._fetch]

    def size(self, worker: int) -> int:
        """Unknown.

        Raises:
            TaskError: always.
        """
        raise TaskError(
            "the run weighs workers by the size of their training sets, which a DataLoader or IterableDataset does not "
            "say: use --weighting examples"
        )

    def skip_to(self, position: int) -> None:
        """Read and drop the batches up to a position."""
        if position > self.position:
            _log.info("reading %d batches of train again, up to where it stopped", position - self.position)
        while self.position < position:
            self._read()

    def _fetch(self) -> tuple[Any, int]:
        return _counted(self._read(), self._device, self._loader)

    def _read(self) -> Any:
        """The next batch. Its random numbers follow from its position, so that skipping leaves later ones alone."""
        for _ in range(2):  # the end of an epoch, then the beginning of the next
            if self._batches is None:
                with seeded(self._device, self._seed, "torch epoch", self._epoch):
                    self._batches = iter(self._loader)
                self._epoch += 1
            with seeded(self._device, self._seed, "torch batch", self.position):
                for batch in self._batches:
                    self.position += 1
                    return batch
            self._batches = None
        raise TaskError("train ended without a batch, expected at least one in each epoch")


def in_parts(samples: Samples, rows: Rows, chunk: int) -> list[Fetch]:
    """Rows in parts of at most ``chunk``, whose sizes differ by at most one."""
    parts = -(-len(rows) // chunk)
    bounds = [len(rows) * part // parts for part in range(parts + 1)]
    return [partial(_rows, samples, rows[start:end]) for start, end in pairwise(bounds)]


def one_epoch(loader: Iterable[Any], device: torch.device) -> Iterator[Fetch]:
    """A test loader's batches, without an end: the fetch after its last batch gives None."""
    batches: Iterator[Any] | None = None

    def fetch() -> tuple[Any, int] | None:
        nonlocal batches
        batches = iter(loader) if batches is None else batches
        for batch in batches:
            return _counted(batch, device, loader)
        return None

    return repeat(fetch)


def loader_of(source: Iterable[Any], name: str, batch: int, collate: Any) -> Iterable[Any]:
    """A loader as it is, or one that makes batches of an IterableDataset.

    Args:
        source: as the problem has it.
        name: train or test, for errors.
        batch: samples in a batch of an IterableDataset; a loader has its own.
        collate: makes a batch of its items; None for torch's.

    Raises:
        TaskError: an IterableDataset, and no batch size.
    """
    if isinstance(source, DataLoader) and source.num_workers and source.multiprocessing_context is None:
        # gRPC's threads do not survive a fork: the loader's processes would crash.
        source.multiprocessing_context = "spawn"
    if not isinstance(source, IterableDataset):
        return source
    if not batch:
        raise TaskError(
            f"batch=0 is all samples, and {name} is an IterableDataset without a length: set batch"
        )
    return DataLoader(source, batch_size=batch, collate_fn=collate)


def _rows(samples: Samples, rows: Rows) -> tuple[Any, int]:
    return samples.rows(rows), len(rows)


def _counted(batch: Any, device: torch.device, loader: Any) -> tuple[Any, int]:
    count = samples_in(batch) or getattr(loader, "batch_size", None) or 1
    return moved(batch, device), count
