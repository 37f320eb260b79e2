"""Which worker process of this machine hosts which workers, and what they keep that ties them to each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gradwire.common.errors import ConfigError
from gradwire.deploy.run.processes import cores
from gradwire.deploy.units import counted
from gradwire.worker.privacy.ledger import workers_of


@dataclass(frozen=True)
class Kept:
    """Something in a process's folder that the process needs to go on, and no other one has.

    Attributes:
        process: its number.
        workers: of whom it is.
        all_of_it: the process must host these workers and no others.
        what: its name in errors.
    """

    process: int
    workers: range
    all_of_it: bool
    what: str

    def allows(self, workers: int, processes: int) -> bool:
        """Whether the process would host those workers still."""
        if self.process >= processes:
            return False
        low, high = _edge(workers, processes, self.process), _edge(workers, processes, self.process + 1)
        if self.all_of_it:
            return (low, high) == (self.workers.start, self.workers.stop)
        return low <= self.workers.start and self.workers.stop <= high


def processes_for(workers: int, asked: int | None, folder: Path) -> int:
    """How many processes host the workers of the run in ``folder``: those asked for, else those that it began with.

    Raises:
        ConfigError: more processes than workers, or none, or not those that have what the workers need to go on.
        LogError: the folder's run, or a privacy ledger, cannot be read.
    """
    if asked is not None and not 1 <= asked <= workers:
        raise ConfigError(f"processes is {asked}, expected 1 to {workers}, the number of workers")
    kept = list(_kept(folder))
    usual = min(workers, cores())
    candidates: tuple[int, ...] = (asked,) if asked is not None else (usual, *range(1, workers + 1))
    fitting = next((n for n in candidates if _astray(kept, workers, n) is None), None)
    if fitting is not None:
        return fitting
    astray = _astray(kept, workers, candidates[0])
    assert astray is not None
    mend = ": pass --processes as when the run began"
    if asked is None:
        mend = ", nor of any other number: put back the folders that the run had, or begin with another --state-dir"
    raise ConfigError(
        f"the {astray.what} of worker {astray.workers.start} is with worker-{astray.process}, which would not host "
        f"{'just the workers that it had' if astray.all_of_it else 'it'} as one of "
        f"{counted(candidates[0], 'process')}{mend}"
    )


def shares(workers: int, processes: int) -> list[str]:
    """Worker ids in contiguous ranges, one a process, as even as they can be.

    >>> shares(10, 3)
    ['0-3', '4-6', '7-9']
    """
    return [f"{low}-{high - 1}" for low, high in pairwise(_edges(workers, processes))]


def sizes(workers: int, processes: int) -> list[int]:
    """How many workers each of the ``shares`` has."""
    return [high - low for low, high in pairwise(_edges(workers, processes))]


def _edges(workers: int, processes: int) -> list[int]:
    return [_edge(workers, processes, i) for i in range(processes + 1)]


def _edge(workers: int, processes: int, i: int) -> int:
    """The first worker of process ``i``."""
    return -(-i * workers // processes)


def _astray(kept: list[Kept], workers: int, processes: int) -> Kept | None:
    """What would be with the wrong one of so many processes."""
    return next((one for one in kept if not one.allows(workers, processes)), None)


def _kept(folder: Path) -> Iterator[Kept]:
    """What processes keep: each worker's error feedback while there are rounds, a privacy ledger for each process.

    Nothing where nobody is needed any more.
    """
    from gradwire.server.log.run_log import RunLog
    from gradwire.server.shutdown import all_checked

    run_id, finished = None, False
    if RunLog.exists(folder):
        with RunLog.open(folder) as log:
            if all_checked(log):
                return
            run_id, finished = log.run_id, log.finished
    for own in sorted(folder.glob("worker-*")):
        number = own.name.removeprefix("worker-")
        if not number.isdecimal():
            continue
        for memory in () if finished else sorted(own.glob("feedback-*")):
            worker = memory.name.removeprefix("feedback-")
            if worker.isdecimal():
                yield Kept(int(number), range(int(worker), int(worker) + 1), False, "error feedback")
        if run_id is not None and (spent := workers_of(own, run_id)):
            yield Kept(int(number), range(min(spent), max(spent) + 1), True, "privacy ledger")
