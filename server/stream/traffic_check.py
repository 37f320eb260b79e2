"""Compares what both ends of every stream have counted."""

from __future__ import annotations

from gradwire.proto import wire_pb2
from gradwire.server.counters import Counters
from gradwire.server.stream.session import Session

MAX_UNCHECKED = 4096  # streams whose worker has not reported its counts; one that was killed never does


class TrafficCheck:
    """Compares a stream's counts when its worker reports them: with Done, or after a break with its next Ready."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._open: dict[int, Session] = {}

    def opened(self, session: Session) -> None:
        """A stream takes part from now on."""
        self._counters.streams += 1
        self._open[session.stream_id] = session
        if len(self._open) > MAX_UNCHECKED:
            del self._open[next(iter(self._open))]

    def check(self, stream_id: int, sent: wire_pb2.Traffic, received: wire_pb2.Traffic) -> None:
        """Compare a worker's counts of a stream with ours, once.

        A stream of an earlier server, or one that is checked already, is skipped.

        Args:
            stream_id: as Welcome named the stream.
            sent: pushes that the worker counted.
            received: entries that it counted.
        """
        session = self._open.pop(stream_id, None)
        if session is not None:
            self._counters.streams_checked += 1
            self._counters.worker_mismatches += not session.agrees(sent, received)
