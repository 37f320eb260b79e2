"""Sites that train in loops of their own: how often each was started, since no restart of such a loop is bit-exact."""

from __future__ import annotations

from gradwire.server.log.run_log import RunLog

PREFIX = "started/"  # of the log's keys; the name of the site follows


class OwnLoops:
    """Starts of the sites' programs, kept in the run's log."""

    def __init__(self, log: RunLog) -> None:
        self._log = log

    def started(self, process: str, first: bool) -> int:
        """A program has joined under this name for the first time since it was started; how often that happened.

        Args:
            process: the name.
            first: whether no round was open yet, so that no earlier start of it has computed anything.

        Raises:
            LogError: the log refused it.
        """
        starts = 1 if first else self._starts(process) + 1
        self._log.put(PREFIX + process, str(starts))
        return starts

    def restarted(self) -> dict[str, int]:
        """The sites that were started more than once, with the number of starts: they are not bit-reproducible."""
        starts = {name: self._starts(name) for name in self._log.assignments()}
        return {name: count for name, count in sorted(starts.items()) if count > 1}

    def _starts(self, process: str) -> int:
        return int(self._log.get(PREFIX + process) or 0)
