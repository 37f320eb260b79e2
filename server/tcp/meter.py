"""Measured TCP bytes of this server's gRPC connections: the kernel's own counters, no proxy and no privilege.

While a connection is open its counters are read through gRPC's own descriptor (``info.py``), and when it ends the
kernel announces the final ones (``sock_diag.py``). What is counted:

- Everything in the TCP stream: TLS records, HTTP/2 and gRPC framing, and retransmissions. Not IP and TCP headers.
- Every connection to the port, also one that opened and closed unseen between two scans; not those of watchers, which
  are taken out when they ask for the run's state.
- Where the kernel sends no close notices (no ``sock_diag``), or its queue overflowed, a connection that ended is
  counted as last read, and ``complete`` is False: the numbers are a lower bound.
- Where the kernel does not count at all (not Linux, older than 4.19, no procfs), the totals are None.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from types import TracebackType

from gradwire.server.tcp import info as tcp_info
from gradwire.server.tcp.connections import ConnectionCounts, TcpBytes
from gradwire.server.tcp.info import TcpInfo
from gradwire.server.tcp.peers import Peer
from gradwire.server.tcp.sock_diag import CloseNotices, list_sockets

__all__ = ["TcpBytes", "TcpMeter"]

POLL_SECONDS = 0.02  # how often wait_closed looks again where the kernel sends no notices


class TcpMeter:
    """Counts the TCP bytes of the connections to a port that this process listens on.

    A thread takes the kernel's notices as they come, so no event loop has to be punctual; every method may be called
    from any thread. Close the meter when done: its totals stay readable.
    """

    def __init__(self, port: int) -> None:
        """Count from now on; call before the first connection is accepted."""
        self._port = port
        self._counts = ConnectionCounts()
        self._descriptors: dict[int, int] = {}  # gRPC's, by the cookie of a connection that is counted
        self._others: set[int] = set()  # cookies of open sockets that are not counted
        self._watchers: dict[int, Peer] = {}  # by cookie, the connections that were taken out
        self._marked = ConnectionCounts()
        self._changed = threading.Condition()  # guards all of the above
        self._is_available = tcp_info.kernel_counts_bytes()
        self._is_closed = not self._is_available
        self._notices: CloseNotices | None = None
        self._thread: threading.Thread | None = None
        if self._is_available:
            # Before notices are taken: the end of a connection that is not ours must not be announced in between.
            self._counts.exclude(_sockets_of_others(port))
            self._notices = _open_notices(port)
        if self._notices is not None:
            self._wake = os.eventfd(0)
            self._thread = threading.Thread(target=self._follow, name="tcp-meter", daemon=True)
            self._thread.start()

    def __enter__(self) -> TcpMeter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def scan(self) -> None:
        """Look for connections that are new since the last scan: about 3 µs per descriptor. For each new stream."""
        with self._changed:
            if not self._is_closed:
                self._find()
                if self._notices is None:
                    self._reread()  # the last reading of a connection that ends before the next scan

    def leave_out(self, peer: Peer | None) -> None:
        """Do not count the connection of this peer: neither from now on, nor what was counted of it."""
        with self._changed:
            if self._is_closed or peer is None:
                return
            self._find()
            for cookie in [c for c, fd in self._descriptors.items() if tcp_info.read_peer(fd, c) == peer]:
                self._watchers[cookie] = peer
                for counts in (self._counts, self._marked):
                    counts.exclude({cookie})
            self._descriptors = {cookie: self._descriptors[cookie] for cookie in self._counts.open}

    def take_in(self, peer: Peer | None) -> None:
        """Count the connection of this peer again, if it was left out."""
        with self._changed:
            self._watchers = {cookie: known for cookie, known in self._watchers.items() if known != peer}

    def mark(self) -> None:
        """Keep the present totals, for ``marked``."""
        with self._changed:
            if not self._is_closed:
                self._update()
            self._marked = self._counts.as_they_are()

    def marked(self) -> TcpBytes | None:
        """The totals at the last ``mark``, without connections that were left out since; None as ``totals``."""
        with self._changed:
            return self._marked.sum() if self._is_available else None

    def totals(self) -> TcpBytes | None:
        """Bytes so far, those of open connections included; None where the kernel does not count them."""
        with self._changed:
            if not self._is_closed:
                self._update()
            return self._counts.sum() if self._is_available else None

    def wait_closed(self, timeout_seconds: float) -> bool:
        """Wait until every connection has ended and its last bytes are counted; False when the time ran out.

        The end of one that no scan saw may be announced some milliseconds later still. Blocks: from a coroutine,
        ``await asyncio.to_thread(meter.wait_closed, 1.0)``.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not self._is_closed:
                self._update()
                left = deadline - time.monotonic()
                if not self._counts.open or left <= 0:
                    break
                # gRPC closes descriptors without notice, hence the second look even where the kernel sends notices.
                self._changed.wait(min(left, POLL_SECONDS))
            return not self._counts.open

    def close(self) -> None:
        """Read everything a last time and stop; the totals keep what they are."""
        with self._changed:
            if self._is_closed:
                return
            self._update()
            self._is_closed = True
        if self._thread is not None and self._notices is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            os.close(self._wake)
            self._notices.close()

    def _follow(self) -> None:
        """The thread: take notices until woken by close."""
        assert self._notices is not None
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        poller.register(self._notices, select.POLLIN)
        while not any(fd == self._wake for fd, _ in poller.poll()):
            with self._changed:
                self._take_notices()
                self._changed.notify_all()

    def _update(self) -> None:
        self._take_notices()
        self._find()
        self._follow_up(self._reread())

    def _find(self) -> None:
        try:
            descriptors = list(tcp_info.descriptors())
        except OSError:  # every descriptor is in use: measuring must not be what fails a run
            return
        present = set()
        for fd in descriptors:
            cookie = tcp_info.read_cookie(fd)
            if cookie is None:
                continue
            present.add(cookie)
            if not any(cookie in known for known in (self._counts.open, self._others, self._watchers)):
                self._examine(fd, cookie)
        self._others &= present
        self._watchers = {cookie: peer for cookie, peer in self._watchers.items() if cookie in present}

    def _examine(self, fd: int, cookie: int) -> None:
        port = tcp_info.read_local_port(fd, cookie)
        if port is None:  # a listener, or a connection still being made: look again next time
            return
        if port != self._port:
            self._others.add(cookie)
        elif (info := tcp_info.read_tcp_info(fd, cookie)) is not None:
            self._descriptors[cookie] = fd
            self._counts.update(cookie, info)

    def _reread(self) -> set[int]:
        """Refresh the readings; returns the cookies of connections that gRPC has closed."""
        closed = set()
        for cookie in self._counts.open:
            info = tcp_info.read_tcp_info(self._descriptors[cookie], cookie)
            if info is None:
                closed.add(cookie)
            else:
                self._counts.update(cookie, info)
        return closed

    def _follow_up(self, closed: set[int]) -> None:
        """Connections closed here live on in the kernel until the peer has closed too: read them there."""
        if not closed:
            return
        listed = self._listed()
        self._take_notices()  # of those that ended before they could be listed
        for cookie in closed & self._counts.open.keys():
            if cookie in listed:
                self._counts.update(cookie, listed[cookie])
            elif self._notices is None or not self._counts.is_complete:
                self._counts.end_without_notice(cookie)

    def _listed(self) -> dict[int, TcpInfo]:
        if self._notices is None:
            return {}
        with contextlib.suppress(OSError):  # their notices will come all the same
            return {each.cookie: each.info for each in list_sockets(self._port) if each.info is not None}
        return {}

    def _take_notices(self) -> None:
        if self._notices is None or self._is_closed:
            return
        ended, lost = self._notices.drain()
        if lost:
            self._counts.miss()
        for notice in ended:
            # A listener has no peer. The port is this process's alone, because so_reuseport is off.
            if notice.local_port == self._port and notice.peer_port != 0:
                self._counts.end(notice.cookie, notice.info)
        self._descriptors = {cookie: self._descriptors[cookie] for cookie in self._counts.open}


def _open_notices(port: int) -> CloseNotices | None:
    try:
        return CloseNotices(port)
    except OSError:
        return None


def _sockets_of_others(port: int) -> set[int]:
    """Connections to this port that are there already: a server that was killed leaves some that still deliver."""
    own = {tcp_info.read_cookie(fd) for fd in tcp_info.descriptors()}
    try:
        listed = list_sockets(port)
    except OSError:
        return set()
    return {found.cookie for found in listed if found.cookie not in own and not found.is_waiting_for_accept}
