"""The kernel's counters of this process's TCP sockets, read through descriptors that belong to the gRPC core.

Nothing is opened, duplicated or closed here. A duplicate that outlives gRPC's own ``close`` would keep the socket in
the core's epoll set, and its late events would go to the connection that got the recycled handle next: a connection
attempt that has not finished is then taken for established. So a descriptor is only ever read by number, and the
kernel's socket cookie, unique until the machine restarts, shows whether it was the same socket throughout.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gradwire.server.tcp.peers import Peer, parse_peer

SO_COOKIE = 57  # <asm-generic/socket.h>; Python's socket module does not name it
_TCP_INFO = 11  # named there on Linux alone

# Offsets into struct tcp_info (<linux/tcp.h>), which only ever grows at its end.
_BYTES_RECEIVED = 128  # u64
_SEGMENTS = 136  # u32 out, u32 in
_BYTES_SENT = 200  # u64, then u64 of bytes retransmitted: Linux 4.19
_KNOWN_BYTES = 216


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """One connection's counters, in bytes of its TCP stream (no IP or TCP headers).

    ``sent`` includes ``retransmitted``. ``received`` counts each byte once, and one more when the peer ended the
    connection in order: TCP numbers the FIN as a byte.
    """

    sent: int
    received: int
    retransmitted: int


def parse_tcp_info(raw: bytes) -> TcpInfo | None:
    """Read struct tcp_info; None where the kernel does not count bytes (older than 4.19, or an imitation).

    An imitation fills the structure with zeros: no connection exists without a segment in either direction.
    """
    if len(raw) < _KNOWN_BYTES or struct.unpack_from("=II", raw, _SEGMENTS) == (0, 0):
        return None
    (received,) = struct.unpack_from("=Q", raw, _BYTES_RECEIVED)
    sent, retransmitted = struct.unpack_from("=QQ", raw, _BYTES_SENT)
    return TcpInfo(sent, received, retransmitted)


def descriptors() -> Iterator[int]:
    """The numbers of this process's open descriptors, from procfs; none of them is held open.

    Raises:
        OSError: no procfs here, or not readable.
    """
    with os.scandir("/proc/self/fd") as entries:
        yield from [int(entry.name) for entry in entries]


def read_cookie(fd: int) -> int | None:
    """The socket's identity, or None when ``fd`` is no socket, or no longer open."""
    raw = _getsockopt(fd, socket.SOL_SOCKET, SO_COOKIE, 8)
    return struct.unpack("=Q", raw)[0] if raw is not None and len(raw) == 8 else None


def read_local_port(fd: int, cookie: int) -> int | None:
    """The local port of the TCP connection ``cookie`` at ``fd``; None for listeners and for anything else."""
    is_tcp = _getsockopt(fd, socket.IPPROTO_TCP, socket.TCP_NODELAY, 4) is not None
    port, peer_port = _port("getsockname", fd), _port("getpeername", fd)
    return port if is_tcp and peer_port is not None and read_cookie(fd) == cookie else None


def read_peer(fd: int, cookie: int) -> Peer | None:
    """The far end of the TCP connection ``cookie`` at ``fd``; None when it is closed or something else."""
    raw = _name("getpeername", fd)
    return parse_peer(raw) if raw is not None and read_cookie(fd) == cookie else None


def read_tcp_info(fd: int, cookie: int) -> TcpInfo | None:
    """The counters of the connection ``cookie``; None when ``fd`` is closed, or is another socket by now."""
    raw = _getsockopt(fd, socket.IPPROTO_TCP, _TCP_INFO, 512)
    # gRPC may have closed the descriptor, and the number been given away, at any point until here.
    if raw is None or read_cookie(fd) != cookie:
        return None
    return parse_tcp_info(raw)


def kernel_counts_bytes() -> bool:
    """Whether this platform offers all that is needed: procfs, socket cookies and a tcp_info with byte counters."""
    try:
        readable = next(iter(descriptors()), None) is not None
    except OSError:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        has_cookie = read_cookie(probe.fileno()) is not None
        raw = _getsockopt(probe.fileno(), socket.IPPROTO_TCP, _TCP_INFO, 512)
    return readable and has_cookie and raw is not None and len(raw) >= _KNOWN_BYTES


def _getsockopt(fd: int, level: int, option: int, size: int) -> bytes | None:
    """getsockopt(2) on a bare number: a Python socket object would close the descriptor when collected."""
    buffer, length = ctypes.create_string_buffer(size), ctypes.c_uint32(size)
    if _libc("getsockopt")(fd, level, option, buffer, ctypes.byref(length)) != 0:
        return None
    return buffer.raw[: length.value]


def _port(call: str, fd: int) -> int | None:
    raw = _name(call, fd)
    return None if raw is None else parse_port(raw)


def _name(call: str, fd: int) -> bytes | None:
    """The sockaddr that getsockname(2) or getpeername(2) gives."""
    buffer, length = ctypes.create_string_buffer(128), ctypes.c_uint32(128)
    if _libc(call)(fd, buffer, ctypes.byref(length)) != 0:
        return None
    return buffer.raw[: length.value]


def parse_port(raw: bytes) -> int | None:
    """The port in a sockaddr_in or sockaddr_in6; None for other families, such as unix sockets."""
    if len(raw) < 4 or struct.unpack_from("=H", raw) not in ((socket.AF_INET,), (socket.AF_INET6,)):
        return None
    (port,) = struct.unpack_from("!H", raw, 2)
    return int(port)


def _libc(name: str) -> Callable[..., int]:
    if sys.platform != "linux":  # the option numbers above are Linux's
        return lambda *_: -1
    function: Callable[..., int] = getattr(_LIBC, name)
    return function


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
