"""TCP bytes of the whole run: this server's meter, added to what earlier servers have left in the log."""

from __future__ import annotations

import time

from gradwire.server.counters import Counters
from gradwire.server.tcp.meter import TcpBytes, TcpMeter

READ_EVERY = 1.0  # seconds: a server that is killed loses the counts of the last one at most


class TcpTotals:
    """Totals when rounds first opened (joining), and in all; None where the kernel does not count."""

    def __init__(self, counters: Counters) -> None:
        self._earlier = (counters.tcp_joining, counters.tcp_total)
        self._meter: TcpMeter | None = None
        self._opened = False
        self._recent = self._earlier
        self._read_at = -READ_EVERY

    def use(self, meter: TcpMeter) -> None:
        """Count what this meter measures."""
        self._meter = meter

    def opened(self) -> None:
        """The first round of this server opens: the bytes before it were those of joining."""
        self._opened = True
        if self._meter is not None:
            self._meter.mark()

    def recent(self) -> tuple[TcpBytes | None, TcpBytes | None]:
        """(joining, all) at most a second old; marked incomplete: this server may be killed before it reads again."""
        now = time.monotonic()
        if now - self._read_at >= READ_EVERY:
            self._read_at = now
            joining, total = self.read()
            self._recent = joining, total and total + TcpBytes(complete=False)
        return self._recent

    def read(self) -> tuple[TcpBytes | None, TcpBytes | None]:
        """(joining, all) as they are now."""
        total = self._totals()
        joining = self._meter.marked() if self._opened and self._meter is not None else total
        return _sum(self._earlier[0], joining), _sum(self._earlier[1], total)

    def _totals(self) -> TcpBytes | None:
        return None if self._meter is None else self._meter.totals()


def _sum(earlier: TcpBytes | None, here: TcpBytes | None) -> TcpBytes | None:
    return None if earlier is None or here is None else earlier + here
