"""The TCP meter counts what the kernel counts, loses nothing when connections end, and leaves gRPC alone."""

import asyncio
import contextlib
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gradwire.server.tcp import info as tcp_info
from gradwire.server.tcp import meter as tcp_meter
from gradwire.server.tcp.info import TcpInfo
from gradwire.server.tcp.meter import TcpBytes, TcpMeter
from gradwire.server.tcp.sock_diag import CloseNotices, list_sockets
from tests.common.transport.peers import Certificate, at_rest, channel_to, exchange, read, serving


def kernel_sends_notices() -> bool:
    try:
        CloseNotices(1).close()
    except OSError:
        return False
    return tcp_info.kernel_counts_bytes()


pytestmark = pytest.mark.skipif(
    not kernel_sends_notices(), reason="this kernel does not count TCP bytes for everybody"
)

HOST = "127.0.0.1"
PAYLOAD = bytes(6400)
SECONDS = 300.0  # far more than any of these waits needs
CLIENT = """
import socket, sys
link = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
link.sendall(bytes(6400))
link.recv(1)
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"))


async def wait_closed(meter: TcpMeter) -> TcpBytes:
    assert await asyncio.to_thread(meter.wait_closed, SECONDS), "connections did not end"
    return read(meter)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def client_of(port: int) -> TcpInfo:
    """The counters of this process's one connection to that port, at the client's end."""
    found = []
    for fd in tcp_info.descriptors():
        cookie = tcp_info.read_cookie(fd)
        if cookie is None or tcp_info.read_local_port(fd, cookie) is None:
            continue
        with socket.socket(fileno=os.dup(fd)) as copy:
            if copy.getpeername()[1] == port:
                found.append(tcp_info.read_tcp_info(fd, cookie))
    (info,) = found
    assert info is not None
    return info


@pytest.mark.parametrize("tls", [False, True])
def test_meter_agrees_with_the_client(tls: bool, certificate: Certificate) -> None:
    async def run() -> None:
        chosen = certificate if tls else None
        async with serving(tls=chosen) as port:
            with TcpMeter(port) as meter:
                for count in range(1, 4):
                    before = read(meter)
                    async with channel_to(port, tls=chosen) as channel:
                        await exchange(channel, [PAYLOAD] * 3)
                        now, client = await at_rest(meter), client_of(port)
                    del channel
                    assert now.complete and now.connections == count
                    assert now.received - before.received == client.sent - client.retransmitted > 19_200
                    sent, again = now.sent - before.sent, now.retransmitted - before.retransmitted
                    assert sent - again == client.received > 19_200
                    assert (await wait_closed(meter)).complete

    asyncio.run(run())


def test_totals_grow_and_no_descriptor_stays_open() -> None:
    async def run() -> None:
        async with serving() as port:
            with TcpMeter(port) as meter:
                seen = [read(meter)]
                counts = []
                for _ in range(20):
                    async with channel_to(port) as channel:
                        await exchange(channel, [PAYLOAD])
                        meter.scan()
                        seen.append(read(meter))
                    del channel
                    seen.append(await wait_closed(meter))
                    counts.append(open_descriptors())
        fields = ("sent", "received", "retransmitted", "connections")
        for before, after in itertools.pairwise(seen):
            assert all(getattr(before, name) <= getattr(after, name) for name in fields), (before, after)
        assert seen[-1].connections == 20
        # The client's end may be open a moment longer; twenty connections that leak would show as twenty.
        assert counts[-1] - counts[0] < 10, f"descriptors pile up with reconnects: {counts}"

    asyncio.run(run())


def test_final_counters_survive_kill_9_of_the_client() -> None:
    with socket.create_server((HOST, 0)) as listener, TcpMeter(listener.getsockname()[1]) as meter:
        command = [sys.executable, "-c", CLIENT, str(listener.getsockname()[1])]
        with subprocess.Popen(command) as client:
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(len(PAYLOAD), socket.MSG_WAITALL) == PAYLOAD
                meter.scan()
                client.kill()
                assert accepted.recv(1) == b""
        assert meter.wait_closed(SECONDS)
        assert read(meter) == TcpBytes(received=len(PAYLOAD) + 1, connections=1)


def test_client_sees_the_servers_close_while_the_meter_watches() -> None:
    """A duplicate of gRPC's descriptor would keep the connection open."""

    async def run() -> None:
        async with serving() as port:
            meter = TcpMeter(port)
            reader, writer = await asyncio.open_connection(HOST, port)
            assert await reader.readexactly(1)  # of the server's SETTINGS frame
            meter.scan()
            assert read(meter).connections == 1
        assert await asyncio.wait_for(reader.read(), SECONDS) is not None  # to its end
        writer.close()
        await writer.wait_closed()
        assert (await wait_closed(meter)).connections == 1
        meter.close()

    asyncio.run(run())


def test_connections_between_two_scans_are_counted() -> None:
    with socket.create_server((HOST, 0)) as listener, TcpMeter(listener.getsockname()[1]) as meter:
        for _ in range(50):
            with socket.create_connection(listener.getsockname()) as peer:
                accepted, _ = listener.accept()
                peer.sendall(bytes(10))
                peer.shutdown(socket.SHUT_WR)
                assert len(accepted.recv(100)) == 10 and accepted.recv(100) == b""
                accepted.close()
        # The last notice is the only thing to wait for, and totals would not find these connections by itself.
        while read(meter).connections < 50:
            meter.wait_closed(0.01)
        assert read(meter) == TcpBytes(sent=0, received=50 * 11, retransmitted=0, connections=50)


def test_other_connections_are_not_counted() -> None:
    with (
        socket.create_server((HOST, 0)) as listener,
        socket.create_server((HOST, 0)) as elsewhere,
        TcpMeter(listener.getsockname()[1]) as meter,
        socket.create_connection(elsewhere.getsockname()) as other,
        socket.create_connection(listener.getsockname()) as peer,
    ):
        accepted, _ = listener.accept()
        with accepted, elsewhere.accept()[0] as other_accepted:
            other.sendall(bytes(50))
            assert other_accepted.recv(50, socket.MSG_WAITALL) == bytes(50)
            peer.sendall(bytes(7))
            assert accepted.recv(7, socket.MSG_WAITALL) == bytes(7)
            assert read(meter) == TcpBytes(received=7, connections=1)


def test_what_a_killed_server_left_is_not_counted() -> None:
    old = socket.create_server((HOST, 0))
    address = old.getsockname()
    with socket.create_connection(address) as slow_reader:
        accepted, _ = old.accept()
        accepted.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:  # until nothing more fits: then closing leaves a socket that still has to deliver
                accepted.send(bytes(1 << 16))
        accepted.close()
        old.close()
        assert [each.inode for each in list_sockets(address[1])] == [0]
        with socket.create_server(address) as listener, TcpMeter(address[1]) as meter:
            slow_reader.close()  # with unread bytes: a reset, which ends what was left behind
            with socket.create_connection(address) as peer:
                accepted, _ = listener.accept()
                peer.sendall(bytes(5))
                assert accepted.recv(100) == bytes(5)
                accepted.close()
            assert meter.wait_closed(SECONDS)
            while read(meter).connections < 1:
                meter.wait_closed(0.01)
            assert (read(meter).sent, read(meter).connections) == (0, 1)


def test_bytes_sent_after_close_are_counted() -> None:
    with socket.create_server((HOST, 0)) as listener, TcpMeter(listener.getsockname()[1]) as meter:
        slow_reader = socket.create_connection(listener.getsockname())
        own, _ = listener.accept()
        meter.scan()
        own.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                own.send(bytes(1 << 16))
        own.close()  # what the reader has no room for waits in the kernel
        before = read(meter)
        assert before.sent > 0 and before.complete
        with slow_reader:
            slow_reader.recv(1 << 26, socket.MSG_WAITALL)
            slow_reader.shutdown(socket.SHUT_WR)
        assert meter.wait_closed(SECONDS)
        assert read(meter).sent > before.sent and read(meter).connections == 1


def test_connection_older_than_the_meter_is_counted() -> None:
    with (
        socket.create_server((HOST, 0)) as listener,
        socket.create_connection(listener.getsockname()) as peer,
        listener.accept()[0] as accepted,
    ):
        peer.sendall(bytes(7))
        assert accepted.recv(7, socket.MSG_WAITALL) == bytes(7)
        with TcpMeter(listener.getsockname()[1]) as meter:
            assert read(meter) == TcpBytes(received=7, connections=1)


def test_without_notices_an_ended_connection_is_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_meter, "_open_notices", lambda _: None)

    async def run() -> None:
        async with serving() as port:
            with TcpMeter(port) as meter:
                async with channel_to(port) as channel:
                    await exchange(channel, [PAYLOAD])
                    open_ = read(meter)
                del channel
                ended = await wait_closed(meter)
        assert open_.complete and not ended.complete
        assert ended.connections == 1 and ended.received >= open_.received > len(PAYLOAD)

    asyncio.run(run())


def test_lost_notice_makes_the_totals_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as listener, TcpMeter(listener.getsockname()[1]) as meter:
        with socket.create_connection(listener.getsockname()) as peer:
            accepted, _ = listener.accept()
            peer.sendall(bytes(7))
            assert accepted.recv(7, socket.MSG_WAITALL) == bytes(7)
            assert read(meter).complete
            monkeypatch.setattr(CloseNotices, "drain", lambda _: ([], True))
            accepted.close()
        assert meter.wait_closed(SECONDS)
        assert read(meter) == TcpBytes(received=read(meter).received, connections=1, complete=False)
        assert read(meter).received >= 7


def test_totals_stay_after_close() -> None:
    with TcpMeter(1) as meter:
        pass
    meter.close()
    assert meter.totals() == TcpBytes()
    meter.scan()
    assert meter.wait_closed(0.0)


def test_kernel_without_counters_gives_no_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_info, "kernel_counts_bytes", lambda: False)
    with TcpMeter(1) as meter:
        meter.scan()
        assert meter.totals() is None
        assert meter.wait_closed(0.0)


def test_meter_agrees_with_ss_and_the_kernels_list() -> None:
    async def run() -> None:
        async with serving() as port:
            with TcpMeter(port) as meter:
                async with channel_to(port) as channel:
                    await exchange(channel, [PAYLOAD] * 10)
                    ours = await at_rest(meter)
                    (listed,) = list_sockets(port)
                    shown = ss_of(port)
        assert listed.info is not None
        assert (listed.info.sent, listed.info.received) == (ours.sent, ours.received)
        assert shown == (ours.sent, ours.received)

    asyncio.run(run())


def ss_of(port: int) -> tuple[int, int]:
    if shutil.which("ss") is None:
        pytest.skip("ss (iproute2) is not installed: the meter is not compared with it")
    command = ["ss", "-tinOH", "state", "established", f"( sport = :{port} )"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    sent, received = (re.search(rf"\b{name}:(\d+)", text) for name in ("bytes_sent", "bytes_received"))
    assert sent and received, text
    return int(sent[1]), int(received[1])
