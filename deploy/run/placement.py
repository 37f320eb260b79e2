"""Which worker process hosts which workers: contiguous ranges, and the same ones again where state ties them down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gradwire.common.errors import ConfigError
from gradwire.deploy.processes.cores import cores
from gradwire.deploy.stored_run import StoredRun
from gradwire.deploy.units import counted
from gradwire.worker.privacy.ledger import workers_of
from gradwire.worker.records import PREFIX


@dataclass(frozen=True)
class HeldState:
    """State in a process's folder that its workers need to go on, and that no other process has.

    Attributes:
        process: its number.
        workers: whose state it is.
        exclusive: the process must host these workers and no others.
        what: its name in errors.
    """

    process: int
    workers: range
    exclusive: bool
    what: str

    def fits(self, workers: int, processes: int) -> bool:
        """Whether the process, as one of ``processes``, would still host those workers."""
        if self.process >= processes:
            return False
        low, high = (_first_worker(workers, processes, i) for i in (self.process, self.process + 1))
        if self.exclusive:
            return (low, high) == (self.workers.start, self.workers.stop)
        return low <= self.workers.start and self.workers.stop <= high


def processes_for(workers: int, asked: int | None, folder: Path, stored: StoredRun | None) -> int:
    """How many processes host the workers: as many as asked for, else as many as the stored run began with.

    Args:
        workers: logical workers of the run.
        asked: None to choose.
        folder: the run's state directory.
        stored: the run in it, if any.

    Raises:
        ConfigError: more processes than workers, or none, or not those whose folders hold the workers' state.
        LogError: a privacy ledger cannot be read.
    """
    if asked is not None and not 1 <= asked <= workers:
        raise ConfigError(f"processes is {asked}, expected 1 to {workers}, the number of workers")
    held = list(_held_state(folder, stored))
    usual = min(workers, cores())
    candidates: tuple[int, ...] = (asked,) if asked is not None else (usual, *range(1, workers + 1))
    for count in candidates:
        if all(state.fits(workers, count) for state in held):
            return count
    misplaced = next(state for state in held if not state.fits(workers, candidates[0]))
    advice = ": pass --processes as when the run began"
    if asked is None:
        advice = ", nor of any other number: restore the run's folders, or begin with another --state-dir"
    raise ConfigError(
        f"the {misplaced.what} of worker {misplaced.workers.start} is with worker-{misplaced.process}, which would not "
        f"host {'just the workers that it had' if misplaced.exclusive else 'it'} as one of "
        f"{counted(candidates[0], 'process')}{advice}"
    )


def worker_ranges(workers: int, processes: int) -> list[range]:
    """Worker ids in contiguous ranges, one per process, as even as they can be.

    >>> worker_ranges(10, 3)
    [range(0, 4), range(4, 7), range(7, 10)]
    """
    return [
        range(low, high)
        for low, high in pairwise(_first_worker(workers, processes, i) for i in range(processes + 1))
    ]


def _first_worker(workers: int, processes: int, i: int) -> int:
    """The first worker of process ``i``."""
    return -(-i * workers // processes)


def _held_state(folder: Path, stored: StoredRun | None) -> Iterator[HeldState]:
    """Each worker's record while rounds remain, each process's privacy ledger; nothing once the run is over."""
    if stored is not None and stored.over:
        return
    finished = stored is not None and stored.finished
    for own in sorted(folder.glob("worker-*")):
        number = own.name.removeprefix("worker-")
        if not number.isdecimal():
            continue
        for record in () if finished else sorted(own.glob(f"{PREFIX}*")):
            worker = record.name.removeprefix(PREFIX)
            if worker.isdecimal():
                yield HeldState(int(number), range(int(worker), int(worker) + 1), False, "record")
        if stored is not None and (spent := workers_of(own, stored.run_id)):
            yield HeldState(int(number), range(min(spent), max(spent) + 1), True, "privacy ledger")
