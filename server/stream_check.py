"""Both ends of every stream have counted its bytes: do they agree?"""

from __future__ import annotations

from gradwire.proto import wire_pb2
from gradwire.server.session import Session
from gradwire.server.tally import Tally

REMEMBERED = 4096  # streams whose worker has not told its counts yet; one that was killed never will


class StreamCheck:
    """Compares a stream's counts once its worker tells them: with Done, or after a break when it joins again."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._open: dict[int, Session] = {}

    def opened(self, session: Session) -> None:
        """A stream takes part from now on."""
        self._tally.streams += 1
        self._open[session.mark] = session
        if len(self._open) > REMEMBERED:
            del self._open[next(iter(self._open))]

    def check(self, mark: int, sent: wire_pb2.Traffic, received: wire_pb2.Traffic) -> None:
        """What a worker counted on a stream; one of an earlier server, or one that is checked already, is passed by."""
        session = self._open.pop(mark, None)
        if session is not None:
            self._tally.streams_checked += 1
            self._tally.worker_mismatches += not session.agrees(sent, received)
