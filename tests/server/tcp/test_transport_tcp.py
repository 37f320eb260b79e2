"""The TCP meter: what it counts is what the kernel counts, nothing is lost at the end, and gRPC does not notice it."""

import asyncio
import contextlib
import itertools
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gradwire.server.tcp import info as tcp_info
from gradwire.server.tcp.meter import TcpBytes, TcpMeter, scan_regularly
from gradwire.server.tcp.sock_diag import DestroyNotices, list_sockets
from tests.common.transport.test_transport_peers import (
    Certificate,
    at_rest,
    channel_to,
    exchange,
    open_stream,
    read,
    server_process,
    serving,
)


def kernel_tells_all() -> bool:
    try:
        DestroyNotices().close()
    except OSError:
        return False
    return tcp_info.kernel_counts_bytes()


pytestmark = pytest.mark.skipif(
    not kernel_tells_all(), reason="this kernel does not count TCP bytes for anybody"
)

HOST = "127.0.0.1"
PAYLOAD = bytes(6400)
SECONDS = 10.0  # far more than any of these waits needs


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"))


async def settle(meter: TcpMeter) -> TcpBytes:
    assert await asyncio.to_thread(meter.settle, SECONDS), "connections did not end"
    return read(meter)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def both_ends_agree(certificate: Certificate | None, streams: int) -> None:
    with TcpMeter() as server, TcpMeter() as worker:
        async with serving(tls=certificate) as port:
            server.observe(local_port=port)
            worker.observe(peer=("localhost", port))
            for _ in range(streams):
                async with channel_to(port, tls=certificate) as channel:
                    await exchange(channel, [PAYLOAD] * 3)
                    worker.scan()
                    server.scan()
                del channel
                assert (await settle(worker)).complete
        up, down = await settle(worker), await settle(server)
    assert up.connections == down.connections == streams
    assert up.complete and down.complete
    # The end that closes second receives the other's FIN, which TCP numbers as a byte.
    assert 0 <= down.received - (up.sent - up.retransmitted) <= streams
    assert 0 <= up.received - (down.sent - down.retransmitted) <= streams
    assert up.sent > streams * 3 * len(PAYLOAD) < up.received


def test_both_ends_agree_over_reconnects() -> None:
    asyncio.run(both_ends_agree(None, 5))


def test_both_ends_agree_with_tls(certificate: Certificate) -> None:
    asyncio.run(both_ends_agree(certificate, 2))


def test_totals_grow_and_no_descriptor_stays_open() -> None:
    async def run() -> None:
        async with serving() as port:
            with TcpMeter() as meter:
                meter.observe(peer=(HOST, port))
                seen = [read(meter)]
                counts = []
                for _ in range(20):
                    async with channel_to(port) as channel:
                        await exchange(channel, [PAYLOAD])
                        meter.scan()
                        seen.append(read(meter))
                    del channel
                    seen.append(await settle(meter))
                    counts.append(open_descriptors())
        fields = ("sent", "received", "retransmitted", "connections")
        for before, after in itertools.pairwise(seen):
            assert all(getattr(before, name) <= getattr(after, name) for name in fields), (before, after)
        assert seen[-1].connections == 20
        # The server's end may be open a moment longer; twenty connections that leak would show as twenty.
        assert counts[-1] - counts[0] < 10, f"descriptors pile up with reconnects: {counts}"

    asyncio.run(run())


def test_final_counters_survive_kill_9_of_the_server() -> None:
    async def run() -> None:
        with server_process() as (process, port), TcpMeter() as meter:
            meter.observe(peer=(HOST, port))
            async with channel_to(port) as channel:
                call = open_stream(channel)
                await call.write(PAYLOAD)
                assert await call.read() == PAYLOAD
                meter.scan()
                process.kill()
                assert (await call.code()).name == "UNAVAILABLE"
            ended = await settle(meter)
            assert ended.complete and ended.connections == 1
            assert ended.sent > len(PAYLOAD) < ended.received

    asyncio.run(run())


def test_the_peer_sees_the_end_while_the_meter_watches() -> None:
    async def run() -> None:
        ended = asyncio.Event()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(
                bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
            )  # an empty HTTP/2 SETTINGS frame makes a channel ready
            await reader.read()  # until the peer's FIN
            writer.close()
            ended.set()

        server = await asyncio.start_server(accept, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        with TcpMeter() as meter:
            meter.observe(peer=(HOST, port))
            async with channel_to(port) as channel:
                await asyncio.wait_for(channel.channel_ready(), SECONDS)
                meter.scan()
                assert read(meter).connections == 1
            del channel
            await asyncio.wait_for(ended.wait(), SECONDS)
            assert (await settle(meter)).received in (9, 10)
        server.close()
        await server.wait_closed()

    asyncio.run(run())


def test_a_server_counts_connections_that_no_scan_saw() -> None:
    with TcpMeter() as meter, socket.create_server((HOST, 0)) as listener:
        address = listener.getsockname()
        meter.observe(local_port=address[1])
        for _ in range(50):
            with socket.create_connection(address) as peer:
                accepted, _ = listener.accept()
                peer.sendall(bytes(10))
                peer.shutdown(socket.SHUT_WR)
                assert len(accepted.recv(100)) == 10 and accepted.recv(100) == b""
                accepted.close()
        # The last notice is the only thing to wait for, and totals would not find these connections by itself.
        while read(meter).connections < 50:
            meter.settle(0.01)
        assert read(meter) == TcpBytes(sent=0, received=50 * 11, retransmitted=0, connections=50)


def test_a_client_counts_its_own_connections_alone() -> None:
    with (
        TcpMeter() as meter,
        socket.create_server((HOST, 0)) as listener,
        socket.create_server((HOST, 0)) as elsewhere,
    ):
        address = listener.getsockname()
        meter.observe(peer=(HOST, address[1]))
        other_process = (
            "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1]))).sendall(b'x' * 99)"
        )
        subprocess.run([sys.executable, "-c", other_process, str(address[1])], check=True)
        with (
            socket.create_connection(elsewhere.getsockname()) as other,
            socket.create_connection(address) as own,
        ):
            other.sendall(bytes(50))
            own.sendall(bytes(7))
            assert read(meter) == TcpBytes(sent=7, connections=1)
        meter.settle(0.1)
        assert read(meter).sent == 7


def test_what_a_killed_predecessor_left_behind_is_not_counted() -> None:
    old = socket.create_server((HOST, 0))
    address = old.getsockname()
    with TcpMeter() as meter, socket.create_connection(address) as slow_reader:
        accepted, _ = old.accept()
        accepted.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:  # until nothing more fits: then closing leaves a socket that still has to deliver
                accepted.send(bytes(1 << 16))
        accepted.close()
        old.close()
        assert [each.inode for each in list_sockets(local_port=address[1])] == [0]
        with socket.create_server(address) as listener:
            meter.observe(local_port=address[1])
            slow_reader.close()  # with unread bytes: a reset, which ends what was left behind
            with socket.create_connection(address) as peer:
                accepted, _ = listener.accept()
                peer.sendall(bytes(5))
                assert accepted.recv(100) == bytes(5)
                accepted.close()
            assert meter.settle(SECONDS)
            while read(meter).connections < 1:
                meter.settle(0.01)
            assert (read(meter).sent, read(meter).connections) == (0, 1)


def test_what_is_sent_after_this_end_closed_is_counted_as_it_goes() -> None:
    with TcpMeter() as meter, socket.create_server((HOST, 0)) as listener:
        meter.observe(peer=listener.getsockname())
        own = socket.create_connection(listener.getsockname())
        slow_reader, _ = listener.accept()
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
        assert meter.settle(SECONDS)
        assert read(meter).sent > before.sent and read(meter).connections == 1


def test_a_connection_older_than_its_observation_is_counted() -> None:
    with (
        TcpMeter() as meter,
        socket.create_server((HOST, 0)) as listener,
        socket.create_connection(listener.getsockname()) as own,
    ):
        meter.observe(peer=(HOST, 1))
        meter.scan()
        assert read(meter) == TcpBytes()
        own.sendall(bytes(7))
        meter.observe(peer=listener.getsockname())
        assert read(meter) == TcpBytes(sent=7, connections=1)


def test_without_notices_an_ended_connection_is_a_lower_bound() -> None:
    async def run() -> None:
        async with serving() as port:
            with TcpMeter(notices=False) as meter:
                meter.observe(peer=(HOST, port))
                async with channel_to(port) as channel:
                    await exchange(channel, [PAYLOAD])
                    open_ = read(meter)
                del channel
                ended = await settle(meter)
        assert open_.complete and not ended.complete
        assert ended.connections == 1 and ended.sent == open_.sent > len(PAYLOAD)

    asyncio.run(run())


def test_a_lost_notice_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    with TcpMeter() as meter, socket.create_server((HOST, 0)) as listener:
        meter.observe(peer=listener.getsockname())
        with socket.create_connection(listener.getsockname()) as own:
            accepted, _ = listener.accept()
            own.sendall(bytes(7))
            assert read(meter).complete
            monkeypatch.setattr(DestroyNotices, "drain", lambda _: ([], True))
        accepted.close()
        assert meter.settle(SECONDS)
        assert read(meter) == TcpBytes(sent=7, connections=1, complete=False)


def test_totals_stay_after_close_and_a_kernel_that_does_not_count_gives_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with TcpMeter() as meter:
        pass
    meter.close()
    assert meter.totals() == TcpBytes()
    meter.scan()
    monkeypatch.setattr(tcp_info, "kernel_counts_bytes", lambda: False)
    with TcpMeter() as meter:
        meter.observe(local_port=1)
        meter.scan()
        assert meter.totals() is None
        assert meter.settle(0.0)


@pytest.mark.parametrize(
    "given", [{}, {"local_port": 1, "peer": (HOST, 1)}, {"local_port": 0}, {"peer": (HOST, 0)}]
)
def test_observe_takes_one_of_two(given: dict[str, object]) -> None:
    with TcpMeter() as meter, pytest.raises(ValueError, match="observe either"):
        meter.observe(**given)  # type: ignore[arg-type]


def test_ss_and_the_kernels_list_say_the_same() -> None:
    async def run() -> None:
        async with serving() as port:
            with TcpMeter() as meter:
                meter.observe(peer=(HOST, port))
                async with channel_to(port) as channel:
                    await exchange(channel, [PAYLOAD] * 10)
                    ours = await at_rest(meter)
                    (listed,) = list_sockets(peer_port=port)
                    shown = ss_of_peer(port)
        assert listed.info is not None
        assert (listed.info.sent, listed.info.received) == (ours.sent, ours.received)
        assert shown == (ours.sent, ours.received)

    asyncio.run(run())


def ss_of_peer(port: int) -> tuple[int, int]:
    if shutil.which("ss") is None:
        pytest.skip("ss (iproute2) is not installed: the meter is not compared with it")
    command = ["ss", "-tinOH", "state", "established", f"( dport = :{port} )"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    sent, received = (re.search(rf"\b{name}:(\d+)", text) for name in ("bytes_sent", "bytes_received"))
    assert sent and received, text
    return int(sent[1]), int(received[1])


def test_regular_scans_see_a_connection_without_a_stream() -> None:
    async def run() -> None:
        async with serving() as port:
            with TcpMeter() as meter:
                meter.observe(peer=(HOST, port))
                scans = asyncio.create_task(scan_regularly(meter, 0.001))
                async with channel_to(port) as channel:
                    await asyncio.wait_for(channel.channel_ready(), SECONDS)
                    await asyncio.sleep(0.05)  # some scans
                del channel
                scans.cancel()
                assert (await settle(meter)).connections == 1

    asyncio.run(run())
