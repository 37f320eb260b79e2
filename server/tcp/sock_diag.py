"""The kernel's own list of TCP sockets, and its close notices (NETLINK_SOCK_DIAG, as ``ss`` uses it).

A close notice carries the final counters of a socket after every process has closed it, and needs no privilege. The
sockets of all processes in the network namespace are listed: the caller identifies its own by port and cookie.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gradwire.server.tcp.info import TcpInfo, parse_tcp_info

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
DESTROY_GROUPS = (1, 3)  # SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY
SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
SO_ATTACH_FILTER = 26
QUEUE_BYTES = 1 << 20  # 800 notices where the system allows it (net.core.rmem_max), 160 where not

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_INET_DIAG_INFO = 2  # the attribute that holds struct tcp_info
_ESTABLISHED, _SYN_RECEIVED, _TIME_WAIT, _CLOSE_WAIT, _LISTEN = 1, 3, 6, 8, 10
_STATES = 0xFFF & ~(1 << _TIME_WAIT) & ~(1 << _LISTEN)  # neither has counters
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port id
# inet_diag_msg: family, state, timer, retransmits, ports, addresses, interface, cookie, four counters, inode
_MESSAGE = struct.Struct("=BBBB 2s2s 16s16s I II 4I I")
_LOCAL_PORT = _HEADER.size + 4  # where a notice has it


@dataclass(frozen=True, slots=True)
class DiagSocket:
    """One socket as the kernel lists it; ``inode`` 0 means that no process holds it (any more, or yet)."""

    cookie: int
    local_port: int
    peer_port: int
    state: int
    inode: int
    info: TcpInfo | None

    @property
    def is_waiting_for_accept(self) -> bool:
        """In a listener's queue: open at both ends, and in no process yet."""
        return self.inode == 0 and self.state in (_ESTABLISHED, _SYN_RECEIVED, _CLOSE_WAIT)


def parse_sockets(data: bytes) -> list[DiagSocket]:
    """Read the sockets in one netlink datagram; a message that is cut off ends the reading."""
    return [_parse_socket(body) for kind, body in _messages(data) if kind == SOCK_DIAG_BY_FAMILY]


def list_sockets(local_port: int) -> list[DiagSocket]:
    """Every connected TCP socket of this network namespace with this local port.

    Raises:
        OSError: no such service here.
    """
    found: list[DiagSocket] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as link:
        link.settimeout(5.0)  # the kernel answers at once; a sandbox might never
        for family in (socket.AF_INET, socket.AF_INET6):
            link.sendto(_dump_request(family, local_port), (0, 0))
            last = False
            while not last:
                data = link.recv(1 << 16)
                found += parse_sockets(data)
                last = _is_last(data)
    return found


class CloseNotices:
    """The kernel's queue of the TCP connections to a local port that ended.

    When the queue overflows, :meth:`drain` reports that once.

    Raises:
        OSError: no such service here.
    """

    def __init__(self, local_port: int) -> None:
        self._link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
        try:
            self._link.setblocking(False)
            self._link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
            self._link.bind((0, 0))
            # Where filters are not allowed every end is queued, which costs room and nothing else.
            with contextlib.suppress(OSError):
                _attach_filter(self._link, local_port)
            for group in DESTROY_GROUPS:
                self._link.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
        except OSError:
            self._link.close()
            raise

    def drain(self) -> tuple[list[DiagSocket], bool]:
        """Take what is queued: the sockets with their final counters, and whether any notice was lost before."""
        ended: list[DiagSocket] = []
        lost = False
        while True:
            try:
                ended += parse_sockets(self._link.recv(1 << 16))
            except BlockingIOError:
                return ended, lost
            except OSError:  # ENOBUFS: the queue overflowed, and works again after this report
                lost = True

    def fileno(self) -> int:
        """The descriptor that becomes readable when a notice arrives."""
        return self._link.fileno()

    def close(self) -> None:
        """Stop listening; what is queued is gone."""
        self._link.close()


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            return
        body = data[_HEADER.size : length]
        if kind != SOCK_DIAG_BY_FAMILY or len(body) >= _MESSAGE.size:
            yield kind, body
        data = data[_aligned(length) :]


def _parse_socket(message: bytes) -> DiagSocket:
    _, state, _, _, local, peer, _, _, _, low, high, *_, inode = _MESSAGE.unpack_from(message)
    info = next(
        (parse_tcp_info(value) for kind, value in _attributes(message) if kind == _INET_DIAG_INFO), None
    )
    return DiagSocket(low | high << 32, int.from_bytes(local), int.from_bytes(peer), state, inode, info)


def _attributes(message: bytes) -> Iterator[tuple[int, bytes]]:
    offset = _MESSAGE.size
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if length < 4:
            return
        yield kind, message[offset + 4 : offset + length]
        offset += _aligned(length)


def _dump_request(family: int, local_port: int) -> bytes:
    ports = struct.pack("!HH", local_port, 0)  # 0: any port of the peer
    body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), 0, _STATES)
    body += ports + bytes(48 - len(ports))  # struct inet_diag_sockid: ports, addresses, interface, cookie
    flags = _NLM_F_REQUEST | _NLM_F_DUMP
    return _HEADER.pack(_HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, flags, 1, 0) + body


def _is_last(data: bytes) -> bool:
    """Whether a dump ends with this datagram; the end may share it with sockets."""
    for kind, body in _messages(data):
        if kind == _NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", body)
            raise OSError(-code, "the kernel does not list TCP sockets here")
        if kind == _NLMSG_DONE:
            return True
    return not data


def _attach_filter(link: socket.socket, local_port: int) -> None:
    """A classic BPF program in the kernel: keep a notice if its socket has that local port."""
    load_half, jump_if_equal, give_back, everything = 0x28, 0x15, 0x06, 0xFFFFFFFF
    program = [  # operation, jump if equal, jump if not, operand
        (load_half, 0, 0, _LOCAL_PORT),
        (jump_if_equal, 0, 1, local_port),
        (give_back, 0, 0, everything),
        (give_back, 0, 0, 0),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    # struct sock_fprog: a count and, aligned, a pointer to the program
    link.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code))
    )


def _aligned(length: int) -> int:
    return (length + 3) & ~3
