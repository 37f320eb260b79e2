"""The end of a run: the server leaves once every worker's replica was checked, or nobody comes for the check any more.

A process that was killed between the last entry and its last word is waited for, whether it is connected or not: it
comes back, hears that the run is over and says with which parameters it ended. What was said is in the log, so a
server that starts on a finished run knows whom it still has to hear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from gradwire.server.log.run_log import RunLog
from gradwire.server.progress import Progress
from gradwire.server.session import Session

FINISH_WAIT = 15.0  # seconds for processes to come back, since the last one came or went
LAST_WORDS_WAIT = 600.0  # seconds for those that are here: the last evaluation may take its time
DONE = "done "  # prefix of the log's marks of processes that have ended


class Ending:
    """Who has ended with which parameters, and when the server need not wait any longer."""

    def __init__(self, log: RunLog, sessions: Mapping[int, Session], progress: Progress) -> None:
        self.over = asyncio.Event()
        self._log = log
        self._sessions = sessions
        self._progress = progress
        self._timer: asyncio.TimerHandle | None = None
        self._digests = _said(log)
        self._earlier: dict[str, int] = {}
        self._awaited: set[str] = set()

    def digests(self) -> dict[str, int]:
        """The digest, uint64, that each process ended with which hosts workers of the run."""
        hosts = self._log.assignments()
        return {name: digest for name, digest in self._digests.items() if name in hosts}

    def unchecked(self) -> frozenset[int]:
        """Workers whose process has not said with which parameters it ended, or that nobody hosts."""
        return _unchecked(self._log, self._digests)

    def await_all(self) -> None:
        """Everybody comes again, who has said all there is: engines start their workers once the server is healthy."""
        self._awaited = set(self._log.assignments())

    def missing(self) -> frozenset[int]:
        """Workers to wait for before the server leaves a finished run: whose process is unchecked, or comes again."""
        hosts = self._log.assignments()
        return self.unchecked().union(*(hosts.get(name, ()) for name in self._awaited))

    def mark(self, process: str, digest: int) -> None:
        """Remember in the log that a process ended with that digest. May wait for the disk.

        Raises:
            LogError: the log refused it.
        """
        self._log.put(f"{DONE}{process}", f"{digest:016x}")
        self._digests[process] = digest

    def came_again(self, process: str) -> None:
        """A process joins a finished run: what counts is how it ends this time, if it says so."""
        self._awaited.discard(process)
        if process in self._digests:
            self._earlier[process] = self._digests.pop(process)

    def left(self, process: str) -> None:
        """A process is gone: where it did not say again how it ended, what it said before holds if it stays away."""
        earlier = self._earlier.pop(process, None)
        if earlier is not None and process not in self._digests:
            self._digests[process] = earlier
            self._awaited.add(process)

    def look(self) -> None:
        """Someone has come, gone or ended in a finished run: leave now, or wait so much longer."""
        self.stop()
        if self.over.is_set():
            return
        if any(session.process not in self._digests for session in self._sessions.values()):
            self._wait(LAST_WORDS_WAIT)
        elif missing := self.missing():
            self._progress({"event": "waiting", "seconds": FINISH_WAIT, "workers": sorted(missing)})
            self._wait(FINISH_WAIT)
        else:
            self.over.set()

    def stop(self) -> None:
        """Forget the time that was set."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self.over.set)


def is_over(log: RunLog) -> bool:
    """Whether the run is finished and everybody was heard: its server needs no workers any more."""
    return log.finished and not _unchecked(log, _said(log))


def _said(log: RunLog) -> dict[str, int]:
    """The digest that each process said it ended with."""
    marks = {name: log.get(f"{DONE}{name}") for name in log.assignments()}
    return {name: int(mark, 16) for name, mark in marks.items() if mark is not None}


def _unchecked(log: RunLog, said: Collection[str]) -> frozenset[int]:
    hosts = log.assignments()
    checked = (worker for name in tuple(said) for worker in hosts.get(name, ()))
    return frozenset(range(log.config.workers)).difference(checked)
