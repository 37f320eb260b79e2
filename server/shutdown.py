"""When the server may leave a finished run: once every worker's replica is checked, or no process reconnects for it.

A process that was killed between the last entry and its Done is waited for: it reconnects, receives Finish and answers
with the digest of its parameters. The digests are in the log, so a server that starts on a finished run knows which
processes are still to be checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from gradwire.server.log.notes import DONE_PREFIX
from gradwire.server.log.run_log import RunLog
from gradwire.server.progress import Progress
from gradwire.server.stream.session import Session

FINISH_WAIT = 15.0  # seconds for processes to reconnect, since the last one joined or left
DONE_WAIT = 600.0  # seconds for the Done of those that are connected: the last evaluation may take long


class Shutdown:
    """Which processes have ended with which parameters, and how long the server waits for the others.

    Attributes:
        requested: set when the server is to stop, for whatever reason.
    """

    def __init__(self, log: RunLog, sessions: Mapping[int, Session], progress: Progress) -> None:
        self.requested = asyncio.Event()
        self._log = log
        self._sessions = sessions
        self._progress = progress
        self._timer: asyncio.TimerHandle | None = None
        self._digests = _recorded(log)
        self._earlier: dict[str, int] = {}
        self._expected: set[str] = set()

    def digests(self) -> dict[str, int]:
        """The digest, uint64, that each process ended with which hosts workers of the run."""
        hosts = self._log.assignments()
        return {name: digest for name, digest in self._digests.items() if name in hosts}

    def unchecked(self) -> frozenset[int]:
        """Workers whose process has not sent Done, or that no process hosts although all of the run take part."""
        return _unchecked(self._log, self._digests)

    def checked(self) -> int:
        """How many workers' replicas were checked."""
        return len(_taking_part(self._log)) - len(self.unchecked())

    def expect_all(self) -> None:
        """Expect every process to rejoin a finished run: engines start their workers once the server is healthy."""
        self._expected = set(self._log.assignments())

    def missing(self) -> frozenset[int]:
        """Workers to wait for before the server leaves a finished run: unchecked, or of a process that is expected."""
        hosts = self._log.assignments()
        return self.unchecked().union(*(hosts.get(name, ()) for name in self._expected))

    def record_done(self, process: str, digest: int) -> None:
        """Record in the log that a process ended with that digest. May wait for the disk.

        Raises:
            LogError: the log refused it.
        """
        self._log.put(f"{DONE_PREFIX}{process}", f"{digest:016x}")
        self._digests[process] = digest

    def rejoined(self, process: str) -> None:
        """A process joins a finished run: its next Done counts, and an earlier one only if it sends none."""
        self._expected.discard(process)
        if process in self._digests:
            self._earlier[process] = self._digests.pop(process)

    def disconnected(self, process: str) -> None:
        """A process has no stream any more. If it left without a new Done, its earlier one holds unless it rejoins."""
        earlier = self._earlier.pop(process, None)
        if earlier is not None and process not in self._digests:
            self._digests[process] = earlier
            self._expected.add(process)

    def update(self) -> None:
        """A process of a finished run has joined, left or sent Done: request the stop, or wait anew."""
        self.cancel()
        if self.requested.is_set():
            return
        if any(session.process not in self._digests for session in self._sessions.values()):
            self._wait(DONE_WAIT)
        elif missing := self.missing():
            self._progress({"event": "waiting", "seconds": FINISH_WAIT, "workers": sorted(missing)})
            self._wait(FINISH_WAIT)
        else:
            self.requested.set()

    def cancel(self) -> None:
        """Cancel the timer, if one is set."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self.requested.set)


def all_checked(log: RunLog) -> bool:
    """Whether the run is finished and every worker's replica was checked: its server needs no workers any more."""
    return log.finished and not _unchecked(log, _recorded(log))


def _recorded(log: RunLog) -> dict[str, int]:
    """The digest that each process ended with, from its Done."""
    found = {name: log.get(f"{DONE_PREFIX}{name}") for name in log.assignments()}
    return {name: int(digest, 16) for name, digest in found.items() if digest is not None}


def _unchecked(log: RunLog, done: Collection[str]) -> frozenset[int]:
    hosts = log.assignments()
    checked = (worker for name in tuple(done) for worker in hosts.get(name, ()))
    return _taking_part(log).difference(checked)


def _taking_part(log: RunLog) -> frozenset[int]:
    """All workers of the run; where they join late and leave, those that a process hosts or did."""
    if not log.config.min_workers:
        return frozenset(range(log.config.workers))
    return frozenset(worker for ids in log.assignments().values() for worker in ids)
