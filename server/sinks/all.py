"""The sinks that a command line asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gradwire.server.log.run_log import RunLog
from gradwire.server.sinks.base import Sink, SinkThread
from gradwire.server.sinks.metrics_log import MetricsLog
from gradwire.server.sinks.points import RunSoFar
from gradwire.server.sinks.tensorboard import TensorBoard

KINDS: Mapping[str, type[Sink]] = {"tensorboard": TensorBoard, "metrics_log": MetricsLog}


class Sinks:
    """All sinks of a server; they take events once the run's log is open."""

    def __init__(self, targets: Mapping[str, Path | None], warn: Callable[[str], None]) -> None:
        """Check that all targets can be written to; nothing is changed.

        Args:
            targets: by the name of the option, one of ``KINDS``; None where it was not given.
            warn: is called with one line for each sink that fails.

        Raises:
            ConfigError: one of them cannot, or a package is missing.
        """
        self._sinks = [KINDS[name](target) for name, target in targets.items() if target is not None]
        self._warn = warn
        self._threads: list[SinkThread] = []
        for sink in self._sinks:
            sink.check()

    def begin(self, log: RunLog) -> None:
        """Begin with the points of the rounds that are in the log, as far as a target does not have them.

        Raises:
            ConfigError: a target has another run.
        """
        if self._sinks:
            run = RunSoFar(log.run_id.hex(), log.config.delta, log.metrics())
            self._threads = [SinkThread(sink, run, self._warn) for sink in self._sinks]

    def note(self, event: Mapping[str, Any]) -> None:
        """An event of the server."""
        for thread in self._threads:
            thread.note(event)

    def close(self) -> None:
        """Write what is queued."""
        for thread in self._threads:
            thread.close()
