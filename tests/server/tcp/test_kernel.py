"""The kernel's structures are parsed by offset; short, empty and damaged ones give nothing."""

import socket
import struct
from pathlib import Path

import pytest

from gradwire.server.tcp import info as tcp_info
from gradwire.server.tcp import sock_diag
from gradwire.server.tcp.connections import ConnectionCounts, TcpBytes
from gradwire.server.tcp.info import TcpInfo, parse_port, parse_tcp_info
from gradwire.server.tcp.sock_diag import CloseNotices, list_sockets, parse_sockets

linux = pytest.mark.skipif(not tcp_info.kernel_counts_bytes(), reason="this kernel does not count TCP bytes")

RAW = bytearray(280)
struct.pack_into("=Q", RAW, 128, 2**40)  # received
struct.pack_into("=II", RAW, 136, 3, 4)  # segments
struct.pack_into("=QQ", RAW, 200, 10**12, 77)  # sent, of which again


def test_counters_at_their_offsets() -> None:
    assert parse_tcp_info(bytes(RAW)) == TcpInfo(sent=10**12, received=2**40, retransmitted=77)


@pytest.mark.parametrize("length", [0, 104, 200, 215])
def test_short_structure_has_no_counters(length: int) -> None:
    assert parse_tcp_info(bytes(RAW[:length])) is None


def test_zeroed_structure_has_no_counters() -> None:
    assert parse_tcp_info(bytes(280)) is None


def sockaddr(family: int, port: int, address: str) -> bytes:
    packed = socket.inet_pton(family, address)
    flow = bytes(4) if family == socket.AF_INET6 else b""
    return struct.pack("=H", family) + struct.pack("!H", port) + flow + packed + bytes(8)


@pytest.mark.parametrize(
    ("raw", "port"),
    [
        (sockaddr(socket.AF_INET, 50051, "198.18.2.3"), 50051),
        (sockaddr(socket.AF_INET6, 50052, "2001:db8::7"), 50052),
        (sockaddr(socket.AF_INET6, 1, "::ffff:198.18.2.3"), 1),
        (struct.pack("=H", socket.AF_UNIX) + b"/run/some.sock", None),
        (b"", None),
        (sockaddr(socket.AF_INET6, 1, "::1")[:3], None),
    ],
)
def test_port_in_a_socket_address(raw: bytes, port: int | None) -> None:
    assert parse_port(raw) == port


@linux
def test_reused_descriptor_is_not_read() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as own,
    ):
        cookie = tcp_info.read_cookie(own.fileno())
        assert cookie is not None
        assert tcp_info.read_local_port(own.fileno(), cookie) == own.getsockname()[1]
        assert tcp_info.read_tcp_info(own.fileno(), cookie) == TcpInfo(0, 0, 0)
        assert tcp_info.read_tcp_info(own.fileno(), cookie + 1) is None
        assert tcp_info.read_local_port(own.fileno(), cookie + 1) is None
        fd = own.fileno()
    assert tcp_info.read_cookie(fd) is None
    assert tcp_info.read_tcp_info(fd, cookie) is None


@linux
def test_only_connected_tcp_sockets_have_a_local_port() -> None:
    left, right = socket.socketpair()
    with (
        left,
        right,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        udp.connect(("127.0.0.1", 9))
        for each in (left, listener, udp):
            cookie = tcp_info.read_cookie(each.fileno())
            assert cookie is not None
            assert tcp_info.read_local_port(each.fileno(), cookie) is None
    with Path("/proc/self/status").open() as file:
        assert tcp_info.read_cookie(file.fileno()) is None


@linux
def test_list_has_the_sockets_of_a_local_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(listener.getsockname()) as peer:
            (waiting,) = list_sockets(port)
            assert waiting.is_waiting_for_accept
            accepted, _ = listener.accept()
            with accepted:
                peer.sendall(bytes(1234))
                assert len(accepted.recv(4096)) == 1234
                (server,), (client,) = list_sockets(port), list_sockets(peer.getsockname()[1])
                assert server.info == TcpInfo(0, 1234, 0) and client.info == TcpInfo(1234, 0, 0)
                assert not server.is_waiting_for_accept
                assert client.cookie == tcp_info.read_cookie(peer.fileno())
                assert (client.local_port, client.peer_port) == (server.peer_port, server.local_port)


@linux
def test_notices_come_for_one_local_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as watched, socket.create_server(("127.0.0.1", 0)) as other:
        port = watched.getsockname()[1]
        notices = CloseNotices(port)
        for listener in (other, watched):
            with socket.create_connection(listener.getsockname()) as peer:
                accepted, _ = listener.accept()
                peer.sendall(bytes(9))
                assert accepted.recv(100) == bytes(9)
                accepted.close()
        ended: list[sock_diag.DiagSocket] = []
        while not ended:
            ended += notices.drain()[0]
    notices.close()
    (only,) = ended
    assert only.local_port == port and only.info is not None and only.info.received in (9, 10)


@linux
def test_overflow_of_the_queue_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sock_diag, "QUEUE_BYTES", 1)  # the kernel rounds it up to its least
    with socket.create_server(("127.0.0.1", 0)) as listener:
        notices = CloseNotices(listener.getsockname()[1])
        lost = False
        for _ in range(1000):  # of which a handful fit
            with socket.create_connection(listener.getsockname()):
                listener.accept()[0].close()
            if _ % 50 == 49:
                lost = lost or notices.drain()[1]
    assert lost
    notices.drain()
    assert notices.drain() == ([], False)
    notices.close()


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


@pytest.mark.parametrize(
    "data",
    [b"", b"short", message(2, bytes(4)), message(20, bytes(71)), message(20, bytes(72))[:-1], bytes(16)],
    ids=["nothing", "no header", "an error", "too short", "cut off", "no length"],
)
def test_damaged_message_has_no_sockets(data: bytes) -> None:
    assert parse_sockets(data) == []


def test_sockets_and_end_in_one_datagram() -> None:
    attribute = struct.pack("=HH", 4 + len(RAW), 2) + bytes(RAW)
    body = (
        bytes([2, 1, 0, 0])
        + struct.pack("!HH", 80, 443)
        + bytes(36)
        + struct.pack("=II", 5, 1)
        + bytes(20)
        + attribute
    )
    (found,) = parse_sockets(message(20, body) + message(3, bytes(4)))
    assert (found.cookie, found.local_port, found.peer_port) == (5 + (1 << 32), 80, 443)
    assert found.info == parse_tcp_info(bytes(RAW))


A, B = TcpInfo(10, 20, 1), TcpInfo(100, 200, 2)


def test_each_connection_counts_once() -> None:
    totals = ConnectionCounts()
    totals.update(1, TcpInfo(5, 5, 0))
    totals.update(1, A)
    assert totals.sum() == TcpBytes(10, 20, 1, 1)
    totals.end(1, A)
    totals.end(2, B)  # never read
    assert totals.sum() == TcpBytes(110, 220, 3, 2) and not totals.open


def test_missing_notice_makes_totals_incomplete() -> None:
    totals = ConnectionCounts()
    totals.update(1, A)
    totals.end_without_notice(1)
    assert totals.sum() == TcpBytes(10, 20, 1, 1, complete=False)
    totals.end(1, B)  # the notice came late
    totals.end(3, None)
    assert totals.sum() == TcpBytes(10, 20, 1, 1, complete=False)
    assert not totals.is_complete


def test_excluded_connections_do_not_count() -> None:
    totals = ConnectionCounts()
    totals.exclude({1, 2})
    totals.end(1, A)
    totals.update(2, A)  # found among our own descriptors: it was waiting to be accepted
    totals.end(2, B)
    assert totals.sum() == TcpBytes(100, 200, 2, 1)
