"""Which connections carry workers' streams: those are counted, whatever else they carry. Watchers' alone are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gradwire.server.tcp.meter import TcpMeter
from gradwire.server.tcp.peers import peer_of_call


class Carriers:
    """The connections of live streams, by their peers as gRPC names them."""

    def __init__(self, meter: TcpMeter) -> None:
        self._meter = meter
        self._training: Counter[str] = Counter()

    @contextmanager
    def trains(self, peer: str) -> Iterator[None]:
        """A worker's stream is on the connection of this peer."""
        self._training[peer] += 1
        try:
            self._meter.take_in(peer_of_call(peer))
            self._meter.scan()
            yield
        finally:
            self._training -= Counter([peer])

    def watches(self, peer: str) -> None:
        """A watcher's stream begins on it."""
        if not self._training[peer]:
            self._meter.leave_out(peer_of_call(peer))
