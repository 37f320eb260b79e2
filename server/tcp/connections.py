"""Totals of a TCP meter: connections that ended, plus open ones as last read. Pure: no sockets here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gradwire.server.tcp.info import TcpInfo


@dataclass(frozen=True, slots=True)
class TcpBytes:
    """Bytes of TCP streams since the meter was made; every number only ever grows.

    ``sent`` includes ``retransmitted``, so a peer receives ``sent - retransmitted``; ``received`` counts one byte more
    for each connection that the peer ended in order (TCP numbers its FIN). ``connections`` counts ended and open ones.
    ``complete`` is False when the end of a connection was missed: the numbers are then a lower bound.
    """

    sent: int = 0
    received: int = 0
    retransmitted: int = 0
    connections: int = 0
    complete: bool = True

    def plus(self, info: TcpInfo) -> TcpBytes:
        """These totals and one more connection."""
        return replace(
            self,
            sent=self.sent + info.sent,
            received=self.received + info.received,
            retransmitted=self.retransmitted + info.retransmitted,
            connections=self.connections + 1,
        )

    def __add__(self, other: TcpBytes) -> TcpBytes:
        """The totals of two meters, one after the other."""
        return TcpBytes(
            self.sent + other.sent,
            self.received + other.received,
            self.retransmitted + other.retransmitted,
            self.connections + other.connections,
            self.complete and other.complete,
        )


class ConnectionCounts:
    """Counts each connection, identified by its socket cookie, once: while it is open, or as it ended."""

    def __init__(self, ended: TcpBytes | None = None, still_open: dict[int, TcpInfo] | None = None) -> None:
        self.open: dict[int, TcpInfo] = dict(still_open or {})
        self._ended = ended or TcpBytes()
        self._ignored: set[int] = set()  # cookies whose close notice is skipped

    @property
    def is_complete(self) -> bool:
        """Whether the end of every connection so far was counted."""
        return self._ended.complete

    def sum(self) -> TcpBytes:
        """All connections so far."""
        total = self._ended
        for info in self.open.values():
            total = total.plus(info)
        return total

    def as_they_are(self) -> ConnectionCounts:
        """A copy, which later events do not change."""
        return ConnectionCounts(self._ended, self.open)

    def update(self, cookie: int, info: TcpInfo) -> None:
        """Store the counters that an open connection has now."""
        self.open[cookie] = info
        self._ignored.discard(cookie)

    def end(self, cookie: int, info: TcpInfo | None) -> None:
        """Count a connection whose close notice came; it may be one that was never read.

        Args:
            cookie: of its socket.
            info: the final counters; without them the last reading is counted, as a lower bound.
        """
        if cookie in self._ignored:
            self._ignored.discard(cookie)
            return
        last = self.open.pop(cookie, None)
        if info is None:
            self.miss()
        known = info or last
        if known is not None:
            self._ended = self._ended.plus(known)

    def end_without_notice(self, cookie: int) -> None:
        """Count a connection that is gone although no close notice came; a late notice is skipped."""
        self.end(cookie, None)
        self._ignored.add(cookie)

    def miss(self) -> None:
        """Mark the totals as a lower bound: the end of some connection was not counted."""
        self._ended = replace(self._ended, complete=False)

    def exclude(self, cookies: set[int]) -> None:
        """Count these connections neither open nor when their close notices come."""
        for cookie in cookies:
            self.open.pop(cookie, None)
        self._ignored |= cookies
