"""Measured TCP bytes of this process's gRPC connections: the kernel's own counters, no proxy and no privilege.

While a connection is open its counters are read through gRPC's own descriptor (``tcp_info``), and when it ends the
kernel announces the final ones (``sock_diag``). What is counted:

- Everything in the TCP stream: TLS records, HTTP/2 and gRPC framing, and what was sent twice. Not IP and TCP headers.
- A server counts every connection to its port, also one that came and went unseen between two scans.
- A client counts the connections that a :meth:`TcpMeter.scan` saw: other processes of the same network namespace may
  talk to the same server, and a connection that ended before it was seen is nobody's. Scan when a stream starts;
  :func:`scan_regularly` narrows the gap for failing handshakes, which never get that far.
- Where the kernel's notices are not to be had (no ``sock_diag``), or its queue ran over, a connection that ended is
  counted as it stood when last read, and ``complete`` is False: the truth is that or more.
- Where the kernel does not count at all (not Linux, older than 4.19, no procfs), the totals are None.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
import time
from types import TracebackType

from gradwire.server.tcp import info as tcp_info
from gradwire.server.tcp.info import TcpInfo
from gradwire.server.tcp.ledger import TcpBytes, TcpLedger
from gradwire.server.tcp.rule import TcpRule, tcp_rule
from gradwire.server.tcp.sock_diag import DestroyNotices, DiagSocket, list_sockets

__all__ = ["TcpBytes", "TcpMeter", "scan_regularly"]

POLL_SECONDS = 0.02  # how often settle looks again where the kernel sends no notices


class TcpMeter:
    """Counts the TCP bytes of this process's connections to a listening port or to a peer.

    A thread takes the kernel's notices as they come, so no event loop has to be punctual; every method may be called
    from any thread. Close the meter when done: its totals stay readable.
    """

    def __init__(self, *, notices: bool = True) -> None:
        self._rules: list[TcpRule] = []
        self._ledger = TcpLedger()
        self._descriptors: dict[int, int] = {}  # gRPC's, by the cookie of a connection that is counted
        self._others: set[int] = set()  # cookies of open sockets that no rule counts
        self._changed = threading.Condition()  # guards all of the above
        self._is_available = tcp_info.kernel_counts_bytes()
        self._is_closed = not self._is_available
        self._notices = _open_notices() if notices and self._is_available else None
        self._thread: threading.Thread | None = None
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

    def observe(self, *, local_port: int | None = None, peer: tuple[str, int] | None = None) -> None:
        """Count the connections to our listening port, or those to a peer; call before the first of them.

        A peer given by name is told by its port alone: a restarted container has the same name and a new address.
        """
        rule = tcp_rule(local_port, peer)
        with self._changed:
            if self._is_closed:
                return
            if rule.local_port and self._notices is not None:
                self._ledger.exclude(_sockets_of_others(rule.local_port))
            self._rules.append(rule)
            self._others.clear()
            if self._notices is not None:
                self._notices.watch(each.port for each in self._rules)
            self._find()

    def scan(self) -> None:
        """Note connections that are new since the last scan. Call when a stream starts: about 3 µs a descriptor."""
        with self._changed:
            if not self._is_closed:
                self._find()
                if self._notices is None:
                    self._reread()  # the last word on what ends before the next scan

    def totals(self) -> TcpBytes | None:
        """Bytes so far, those of open connections included; None where the kernel does not count them."""
        with self._changed:
            if not self._is_closed:
                self._look()
            return self._ledger.totals() if self._is_available else None

    def settle(self, timeout_seconds: float) -> bool:
        """Wait until every connection has ended and its last bytes are counted; False when the time ran out.

        The end of one that no scan saw (see above) may be announced some milliseconds later still.
        Blocks: from a coroutine, ``await asyncio.to_thread(meter.settle, 1.0)`` after closing the channel.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not self._is_closed:
                self._look()
                left = deadline - time.monotonic()
                if not self._ledger.open or left <= 0:
                    break
                # gRPC's close of a descriptor is announced to nobody, hence the second look even with notices
                self._changed.wait(min(left, POLL_SECONDS))
            return not self._ledger.open

    def close(self) -> None:
        """Read everything a last time and stop; the totals keep what they are."""
        with self._changed:
            if self._is_closed:
                return
            self._look()
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

    def _look(self) -> None:
        """Bring everything up to date."""
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
            if cookie not in self._ledger.open and cookie not in self._others:
                self._examine(fd, cookie)
        self._others &= present

    def _examine(self, fd: int, cookie: int) -> None:
        found = tcp_info.read_connected(fd, cookie)
        if found is None:  # a listener, or a connection still being made: look again next time
            return
        if not any(rule.counts(found.local, found.peer) for rule in self._rules):
            self._others.add(cookie)
        elif (info := tcp_info.read_tcp_info(fd, cookie)) is not None:
            self._descriptors[cookie] = fd
            self._ledger.read(cookie, info)

    def _reread(self) -> set[int]:
        """Refresh the readings; returns the cookies of connections that gRPC has closed."""
        closed = set()
        for cookie in self._ledger.open:
            info = tcp_info.read_tcp_info(self._descriptors[cookie], cookie)
            if info is None:
                closed.add(cookie)
            else:
                self._ledger.read(cookie, info)
        return closed

    def _follow_up(self, closed: set[int]) -> None:
        """Connections closed here live on in the kernel until the peer has closed too: read them there."""
        if not closed:
            return
        listed = self._listed()
        self._take_notices()  # of those that ended before they could be listed
        for cookie in closed & self._ledger.open.keys():
            if cookie in listed:
                self._ledger.read(cookie, listed[cookie])
            elif self._notices is None or not self._ledger.is_complete:
                self._ledger.end_unannounced(cookie)

    def _listed(self) -> dict[int, TcpInfo]:
        if self._notices is None:
            return {}
        sockets: list[DiagSocket] = []
        with contextlib.suppress(OSError):  # their notices will come all the same
            for rule in self._rules:
                sockets += list_sockets(local_port=rule.local_port, peer_port=rule.peer_port)
        return {listed.cookie: listed.info for listed in sockets if listed.info is not None}

    def _take_notices(self) -> None:
        if self._notices is None or self._is_closed:
            return
        ended, lost = self._notices.drain()
        if lost:
            self._ledger.miss()
        for notice in ended:
            if notice.cookie in self._ledger.open or self._is_of_our_port(notice):
                self._ledger.end(notice.cookie, notice.info)
        self._descriptors = {cookie: self._descriptors[cookie] for cookie in self._ledger.open}

    def _is_of_our_port(self, notice: DiagSocket) -> bool:
        # A listener has no peer. A port of ours is ours alone: so_reuseport is off.
        return notice.peer_port != 0 and any(rule.local_port == notice.local_port for rule in self._rules)


async def scan_regularly(meter: TcpMeter, every_seconds: float = 0.5) -> None:
    """Scan until cancelled: for a client whose connections may end before a stream starts (failing handshakes)."""
    while True:
        meter.scan()
        await asyncio.sleep(every_seconds)


def _open_notices() -> DestroyNotices | None:
    try:
        return DestroyNotices()
    except OSError:
        return None


def _sockets_of_others(port: int) -> set[int]:
    """Connections to this port that are there already: a server that was killed leaves some behind, dying slowly."""
    own = {tcp_info.read_cookie(fd) for fd in tcp_info.descriptors()}
    try:
        listed = list_sockets(local_port=port)
    except OSError:
        return set()
    return {found.cookie for found in listed if found.cookie not in own and not found.is_waiting_for_accept}
