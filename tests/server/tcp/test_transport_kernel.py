"""What the kernel's structures say: parsed by offset, and nothing made up where they are short, empty or damaged."""

import socket
import struct
from pathlib import Path

import pytest

from gradwire.server.tcp import info as tcp_info
from gradwire.server.tcp import sock_diag
from gradwire.server.tcp.info import Endpoint, TcpInfo, parse_sockaddr, parse_tcp_info
from gradwire.server.tcp.ledger import TcpBytes, TcpLedger
from gradwire.server.tcp.rule import TcpRule, tcp_rule
from gradwire.server.tcp.sock_diag import DestroyNotices, list_sockets, parse_sockets

linux = pytest.mark.skipif(not tcp_info.kernel_counts_bytes(), reason="this kernel does not count TCP bytes")

RAW = bytearray(280)
struct.pack_into("=Q", RAW, 128, 2**40)  # received
struct.pack_into("=II", RAW, 136, 3, 4)  # segments
struct.pack_into("=QQ", RAW, 200, 10**12, 77)  # sent, of which again


def test_counters_are_read_at_their_offsets() -> None:
    assert parse_tcp_info(bytes(RAW)) == TcpInfo(sent=10**12, received=2**40, retransmitted=77)


@pytest.mark.parametrize("length", [0, 104, 200, 215])
def test_a_short_structure_has_no_counters(length: int) -> None:
    assert parse_tcp_info(bytes(RAW[:length])) is None


def test_an_imitated_structure_has_no_counters() -> None:
    assert parse_tcp_info(bytes(280)) is None


def sockaddr(family: int, port: int, address: str) -> bytes:
    packed = socket.inet_pton(family, address)
    flow = bytes(4) if family == socket.AF_INET6 else b""
    return struct.pack("=H", family) + struct.pack("!H", port) + flow + packed + bytes(8)


@pytest.mark.parametrize(
    ("raw", "endpoint"),
    [
        (sockaddr(socket.AF_INET, 50051, "198.18.2.3"), Endpoint("198.18.2.3", 50051)),
        (sockaddr(socket.AF_INET6, 50051, "2001:db8::7"), Endpoint("2001:db8::7", 50051)),
        (sockaddr(socket.AF_INET6, 1, "::ffff:198.18.2.3"), Endpoint("198.18.2.3", 1)),
        (struct.pack("=H", socket.AF_UNIX) + b"/run/some.sock", None),
        (b"", None),
        (sockaddr(socket.AF_INET6, 1, "::1")[:20], None),
    ],
)
def test_socket_addresses(raw: bytes, endpoint: Endpoint | None) -> None:
    assert parse_sockaddr(raw) == endpoint


@linux
def test_a_descriptor_that_changed_hands_is_not_read() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as own,
    ):
        cookie = tcp_info.read_cookie(own.fileno())
        assert cookie is not None
        found = tcp_info.read_connected(own.fileno(), cookie)
        assert found is not None and (found.local.port, found.peer.port) == (
            own.getsockname()[1],
            own.getpeername()[1],
        )
        assert tcp_info.read_tcp_info(own.fileno(), cookie) == TcpInfo(0, 0, 0)
        assert tcp_info.read_tcp_info(own.fileno(), cookie + 1) is None
        assert tcp_info.read_connected(own.fileno(), cookie + 1) is None
        fd = own.fileno()
    assert tcp_info.read_cookie(fd) is None
    assert tcp_info.read_tcp_info(fd, cookie) is None


@linux
def test_only_connected_tcp_sockets_are_connections() -> None:
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
            assert tcp_info.read_connected(each.fileno(), cookie) is None
    with Path("/proc/self/status").open() as file:
        assert tcp_info.read_cookie(file.fileno()) is None


@linux
def test_the_kernel_lists_both_ends_with_the_same_counters() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(listener.getsockname()) as peer:
            (waiting,) = list_sockets(local_port=port)
            assert waiting.is_waiting_for_accept
            accepted, _ = listener.accept()
            with accepted:
                peer.sendall(bytes(1234))
                assert len(accepted.recv(4096)) == 1234
                (server,) = list_sockets(local_port=port)
                (client,) = list_sockets(peer_port=port)
                assert server.info == TcpInfo(0, 1234, 0) and client.info == TcpInfo(1234, 0, 0)
                assert not server.is_waiting_for_accept
                assert client.cookie == tcp_info.read_cookie(peer.fileno())


@linux
def test_notices_come_for_watched_ports_alone() -> None:
    notices = DestroyNotices()
    with socket.create_server(("127.0.0.1", 0)) as watched, socket.create_server(("127.0.0.1", 0)) as other:
        port = watched.getsockname()[1]
        notices.watch([1, port, 65535])
        for listener in (other, watched):
            with socket.create_connection(listener.getsockname()) as peer:
                accepted, _ = listener.accept()
                peer.sendall(bytes(9))
                assert accepted.recv(100) == bytes(9)
                accepted.close()
        ended: list[sock_diag.DiagSocket] = []
        while len(ended) < 2:
            ended += notices.drain()[0]
    notices.close()
    assert all(port in (each.local_port, each.peer_port) for each in ended)
    assert {each.info.sent for each in ended if each.info} == {0, 9}


@linux
def test_a_queue_that_ran_over_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sock_diag, "QUEUE_BYTES", 1)  # the kernel rounds it up to its least
    notices = DestroyNotices()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        notices.watch([listener.getsockname()[1]])
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
def test_damaged_messages_hold_no_sockets(data: bytes) -> None:
    assert parse_sockets(data) == []


def test_sockets_and_the_end_may_share_a_datagram() -> None:
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


def test_a_ledger_counts_each_connection_once() -> None:
    ledger = TcpLedger()
    ledger.read(1, TcpInfo(5, 5, 0))
    ledger.read(1, A)
    assert ledger.totals() == TcpBytes(10, 20, 1, 1)
    ledger.end(1, A)
    ledger.end(2, B)  # never read
    assert ledger.totals() == TcpBytes(110, 220, 3, 2) and not ledger.open


def test_a_ledger_admits_what_it_missed() -> None:
    ledger = TcpLedger()
    ledger.read(1, A)
    ledger.end_unannounced(1)
    assert ledger.totals() == TcpBytes(10, 20, 1, 1, complete=False)
    ledger.end(1, B)  # announced after all, when the books on it were closed
    ledger.end(3, None)
    assert ledger.totals() == TcpBytes(10, 20, 1, 1, complete=False)
    assert not ledger.is_complete


def test_a_ledger_leaves_out_what_is_others() -> None:
    ledger = TcpLedger()
    ledger.exclude({1, 2})
    ledger.end(1, A)
    ledger.read(2, A)  # found among our own descriptors: it was waiting to be accepted
    ledger.end(2, B)
    assert ledger.totals() == TcpBytes(100, 200, 2, 1)


LOCAL = Endpoint("198.18.0.1", 40000)


@pytest.mark.parametrize(
    ("host", "address", "counts"),
    [
        ("198.18.0.2", "198.18.0.2", True),
        ("198.18.0.2", "198.18.0.3", False),
        ("::ffff:198.18.0.2", "198.18.0.2", True),
        ("2001:db8:0::7", "2001:db8::7", True),
        ("localhost", "127.0.0.1", True),
        ("localhost", "::1", True),
        ("localhost", "198.18.0.2", False),
        ("0.0.0.0", "127.0.0.1", True),
        ("server.example", "198.18.0.2", True),  # what a name means may change while the run lasts
    ],
)
def test_a_peers_host(host: str, address: str, counts: bool) -> None:
    rule = tcp_rule(None, (host, 50051))
    assert rule.counts(LOCAL, Endpoint(address, 50051)) is counts
    assert not rule.counts(LOCAL, Endpoint(address, 50052))


def test_a_port_of_ours() -> None:
    rule = TcpRule(local_port=40000)
    assert rule.counts(LOCAL, Endpoint("198.18.0.2", 1))
    assert not rule.counts(Endpoint("198.18.0.1", 1), Endpoint("198.18.0.2", 40000))
