"""The sums of a TCP meter: connections that ended, plus those that are open as they were last read. No sockets here."""

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


class TcpLedger:
    """Each connection, told by its socket cookie, is counted once: while open, or as it ended."""

    def __init__(self) -> None:
        self.open: dict[int, TcpInfo] = {}
        self._ended = TcpBytes()
        self._closed_books: set[int] = set()  # ends that must not be counted when they are announced

    @property
    def is_complete(self) -> bool:
        """Whether no end was missed so far."""
        return self._ended.complete

    def totals(self) -> TcpBytes:
        """Everything so far."""
        total = self._ended
        for info in self.open.values():
            total = total.plus(info)
        return total

    def read(self, cookie: int, info: TcpInfo) -> None:
        """An open connection has these counters now."""
        self.open[cookie] = info
        self._closed_books.discard(cookie)

    def end(self, cookie: int, info: TcpInfo | None) -> None:
        """The end of a connection was announced; it may be one that was never read.

        ``info`` holds the final counters. Without them the last reading has to do, as a lower bound.
        """
        if cookie in self._closed_books:
            self._closed_books.discard(cookie)
            return
        last = self.open.pop(cookie, None)
        if info is None:
            self.miss()
        known = info or last
        if known is not None:
            self._ended = self._ended.plus(known)

    def end_unannounced(self, cookie: int) -> None:
        """A connection is gone and its end was not announced."""
        self.end(cookie, None)
        self._closed_books.add(cookie)  # the announcement may still come

    def miss(self) -> None:
        """Some end went unnoticed: from now on the totals are a lower bound."""
        self._ended = replace(self._ended, complete=False)

    def exclude(self, cookies: set[int]) -> None:
        """Do not count these when their end is announced: they are another process's."""
        self._closed_books |= cookies
