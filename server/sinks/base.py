"""The interface of a sink, and the thread that keeps a slow or failing one away from the run."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gradwire.server.sinks.points import Point, RunSoFar, points_of

QUEUED = 10_000  # events that a slow sink may be behind
CLOSE_SECONDS = 10.0  # that a sink has to write what is queued when the run is over
BATCH = 1000  # points of the log that are written at once

Event = Mapping[str, Any]


class Sink(ABC):
    """Takes the points of a run's curves. A new kind of sink is one file with such a class, and a flag.

    All methods but ``check`` and ``read`` are called in a thread of its own, and what they raise ends the sink alone.
    """

    def __init__(self, target: Path) -> None:
        self.target = target

    @abstractmethod
    def check(self) -> None:
        """Check that points can be written to the target; nothing is changed.

        Raises:
            ConfigError: they cannot, in one line.
        """

    @abstractmethod
    def read(self, run: RunSoFar) -> dict[str, int]:
        """By name, the newest step that the target has of this run; nothing is changed.

        Raises:
            ConfigError: the target has another run.
        """

    @abstractmethod
    def open(self, run: RunSoFar) -> None:
        """Get ready to write."""

    @abstractmethod
    def write(self, points: list[Point]) -> None:
        """Write points so that they survive the end of this process."""

    @abstractmethod
    def close(self) -> None:
        """Release the target."""


class SinkThread:
    """Hands events to a sink, in a thread of its own; points that the target has already are left out."""

    def __init__(self, sink: Sink, run: RunSoFar, warn: Callable[[str], None]) -> None:
        """Begin with what the log has and the target has not.

        Args:
            sink: takes the points.
            run: whose events follow.
            warn: is called once, by the thread that calls ``note`` and ``close``, if points cannot be written.

        Raises:
            ConfigError: the target has another run.
        """
        self._sink, self._run, self._warn = sink, run, warn
        self._newest = sink.read(run)
        self._events: queue.Queue[Event | None] = queue.Queue(QUEUED)
        self._fault: str | None = None
        self._warned = False
        self._thread = threading.Thread(target=self._work, name=f"sink {sink.target}", daemon=True)
        self._thread.start()

    def note(self, event: Event) -> None:
        """Queue an event."""
        if self._fault is None and event["event"] in ("round", "metrics"):
            try:
                self._events.put_nowait(event)
            except queue.Full:
                self._fault = f"it is {QUEUED:,} events behind"
        self._warn_once()

    def close(self) -> None:
        """Write what is queued, if that does not take long."""
        try:
            self._events.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            self._fault = self._fault or "it takes no more points"
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self._fault = self._fault or f"it has not taken all points within {CLOSE_SECONDS:.0f} s"
        self._warn_once()

    def _warn_once(self) -> None:
        if self._fault is not None and not self._warned:
            self._warned = True
            self._warn(f"no more points are written to {self._sink.target}: {self._fault}; the run goes on")

    # ---- in the thread -------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._sink.open(self._run)
            self._write_missing()
            while (event := self._events.get()) is not None and self._fault is None:
                self._sink.write(self._new(points_of(event, self._run.delta)))
        except Exception as error:  # of any library: the run must not end with it
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            self._fault = self._fault or reason
        finally:
            self._close_sink()

    def _close_sink(self) -> None:
        try:
            self._sink.close()
        except Exception as error:  # what is buffered cannot be written either
            self._fault = self._fault or str(getattr(error, "strerror", None) or error)

    def _write_missing(self) -> None:
        """Points of rounds that are in the log: of a server that was killed before it wrote them, or had no sink."""
        batch: list[Point] = []
        for point in self._new(self._run.points()):
            batch.append(point)
            if len(batch) >= BATCH:
                self._sink.write(batch)
                batch = []
        self._sink.write(batch)

    def _new(self, points: Iterator[Point]) -> list[Point]:
        new = []
        for point in points:
            if point.step > self._newest.get(point.name, -1):
                self._newest[point.name] = point.step
                new.append(point)
        return new
