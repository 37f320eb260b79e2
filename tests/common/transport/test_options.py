"""The channel and server options, each by what it does between a real server and a real channel."""

import asyncio
import contextlib
from collections.abc import Sequence

import grpc
import pytest

from gradwire.common.transport.limits import FRAME_BYTES
from gradwire.common.transport.options import channel_options, server_options
from gradwire.server.tcp import info as tcp_info
from gradwire.server.tcp.meter import TcpMeter
from tests.common.transport.peers import (
    TIMEOUT,
    at_rest,
    channel_to,
    exchange,
    open_stream,
    read,
    server_process,
    serving,
)

measured = pytest.mark.skipif(
    not tcp_info.kernel_counts_bytes(), reason="this kernel does not count TCP bytes"
)
PING_BYTES = 17  # an HTTP/2 PING frame, and its acknowledgement
SECOND_MS = 1000  # the shortest interval that the C core keeps


@measured
@pytest.mark.parametrize("size", [30, 6400, 27_000])
def test_message_costs_40_bytes_of_framing(size: int) -> None:
    count = 100
    messages: Sequence[bytes] = [bytes(size)] * count

    async def run() -> tuple[float, float]:
        async with serving() as port:
            with TcpMeter(port) as meter:
                async with channel_to(port) as channel:
                    call = open_stream(channel)
                    readings = []
                    for _ in range(2):  # the first time warms the stream up
                        for message in messages:
                            await call.write(message)
                            assert await call.read() == message
                        readings.append(await at_rest(meter))
                    await call.done_writing()
                    assert await call.code() is grpc.StatusCode.OK
        warm, end = readings
        sent = end.sent - end.retransmitted - warm.sent + warm.retransmitted
        return (end.received - warm.received) / count - size, sent / count - size

    up, down = asyncio.run(run())
    # DATA header 9, length prefix 5, two WINDOW_UPDATE frames of 13; a bandwidth probe would show as 0.3 or more.
    assert abs(up - 40) < 0.2 and abs(down - 40) < 0.2, (up, down)


async def idle_until_pinged(
    keepalive_ms: int, server_keepalive_ms: int, pings: int
) -> grpc.StatusCode | None:
    """A stream that is silent until that many pings were sent, or until the server has had enough of them."""
    options = server_options(keepalive_ms=server_keepalive_ms)
    async with serving(options=options) as port:
        with TcpMeter(port) as meter:
            async with channel_to(port, options=channel_options(keepalive_ms=keepalive_ms)) as channel:
                call = open_stream(channel)
                await call.write(b"message")
                assert await call.read() == b"message"
                start = read(meter).received
                while not call.done() and read(meter).received - start < pings * PING_BYTES:
                    await asyncio.sleep(0.05)
                return await call.code() if call.done() else None


@measured
@pytest.mark.slow
def test_keepalive_pings_are_accepted() -> None:
    assert asyncio.run(idle_until_pinged(SECOND_MS, SECOND_MS, 8)) is None


@measured
@pytest.mark.slow
def test_too_many_pings_end_the_connection() -> None:
    """The test above can fail: the same pings at a server built for fewer."""
    assert asyncio.run(idle_until_pinged(SECOND_MS, 30_000, 10)) is grpc.StatusCode.UNAVAILABLE


def test_second_server_on_a_port_fails() -> None:
    async def run() -> None:
        async with serving() as port:
            second = grpc.aio.server(options=server_options())
            with pytest.raises(RuntimeError, match=str(port)):
                second.add_insecure_port(f"127.0.0.1:{port}")

    asyncio.run(run())


def test_message_limit() -> None:
    async def run() -> None:
        unlimited = [*(dict(channel_options()) | {"grpc.max_send_message_length": -1}).items()]
        async with serving() as port, channel_to(port, options=unlimited) as channel:
            await exchange(channel, [bytes(FRAME_BYTES)])
            call = open_stream(channel)
            await call.write(bytes(FRAME_BYTES + 1))
            with pytest.raises(grpc.aio.AioRpcError, match="RESOURCE_EXHAUSTED"):
                await call.read()

    asyncio.run(run())


def test_compressed_message_is_refused() -> None:
    async def run() -> None:
        async with (
            serving() as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", compression=grpc.Compression.Gzip) as channel,
        ):
            call = open_stream(channel)
            with contextlib.suppress(grpc.aio.AioRpcError):
                await call.write(bytes(100_000))
            # which of the two depends on whether the write or the answer is noticed first
            assert await call.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL)

    asyncio.run(run())


def test_channel_reconnects_to_a_restarted_server() -> None:
    async def run() -> None:
        with server_process() as (process, port):
            async with channel_to(port) as channel:
                await exchange(channel, [b"before"])
                process.kill()
                process.wait()
                with server_process(port):
                    call = open_stream(channel, wait_for_ready=True)
                    await call.write(b"after")
                    assert await asyncio.wait_for(call.read(), TIMEOUT) == b"after"
                    call.cancel()

    asyncio.run(run())
