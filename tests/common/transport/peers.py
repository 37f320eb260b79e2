"""Peers for tests of the transport: echo servers in this process and in another, and a certificate for TLS."""

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from gradwire.common.transport.options import Options, channel_options, server_options
from gradwire.server.tcp.meter import TcpBytes, TcpMeter

ECHO = "/test/Echo"
TIMEOUT = 300.0  # seconds: only what hangs takes so long, on a loaded machine too
QUIET = 0.5  # seconds without a byte after which a connection is at rest

Behaviour = Callable[[Any, Any], Any]


async def echo(requests: AsyncIterator[bytes], context: Any) -> None:
    async for message in requests:
        await context.write(message)


def bytes_handlers(**behaviours: Behaviour) -> grpc.GenericRpcHandler:
    """Stream-stream methods ``/test/NAME`` over plain bytes."""
    methods: dict[str, Any] = {
        name: grpc.stream_stream_rpc_method_handler(each) for name, each in behaviours.items()
    }
    return grpc.method_handlers_generic_handler("test", methods)


@contextlib.asynccontextmanager
async def serving(
    handlers: grpc.GenericRpcHandler | None = None,
    *,
    tls: "Certificate | None" = None,
    options: Options | None = None,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> AsyncIterator[int]:
    """A server on a free loopback port; gives the port."""
    chosen = server_options() if options is None else options
    server = grpc.aio.server(options=chosen, interceptors=list(interceptors))
    server.add_generic_rpc_handlers((handlers or bytes_handlers(Echo=echo),))
    if tls is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(tls.key, tls.chain)]))
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def channel_to(
    port: int, *, tls: "Certificate | None" = None, options: Options | None = None
) -> grpc.aio.Channel:
    chosen = channel_options() if options is None else options
    if tls is None:
        return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=chosen)
    return grpc.aio.secure_channel(
        f"localhost:{port}", grpc.ssl_channel_credentials(tls.chain), options=chosen
    )


def open_stream(channel: grpc.aio.Channel, method: str = ECHO, *, wait_for_ready: bool = False) -> Any:
    """A call over plain bytes."""
    make: Any = channel.stream_stream(method)
    return make(wait_for_ready=wait_for_ready)


async def exchange(channel: grpc.aio.Channel, messages: Sequence[bytes]) -> None:
    """Send each message through Echo, and read it back, on one stream."""
    call = open_stream(channel)
    for message in messages:
        await call.write(message)
        assert await call.read() == message
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.OK


def read(meter: TcpMeter) -> TcpBytes:
    totals = meter.totals()
    assert totals is not None
    return totals


async def at_rest(meter: TcpMeter) -> TcpBytes:
    """Totals once the connections have gone quiet: gRPC acknowledges settings and windows at its leisure."""
    before = read(meter)
    while True:
        await asyncio.sleep(QUIET)  # nothing announces that nothing will be sent
        after = read(meter)
        if after == before:
            return after
        before = after


class Certificate:
    """A self-signed certificate for localhost, as PEM bytes."""

    def __init__(self, folder: Path) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("openssl is not installed: TLS is not tested")
        key, chain = folder / "key.pem", folder / "chain.pem"
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        made = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(chain), "-days", "2"]
        subprocess.run([openssl, "req", "-x509", *made, *subject], check=True, capture_output=True)
        self.key, self.chain = key.read_bytes(), chain.read_bytes()


@contextlib.contextmanager
def server_process(port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """An echo server in a process of its own, to be killed; gives the process and its port."""
    command = [sys.executable, str(Path(__file__).resolve()), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


async def _serve(port: int) -> None:
    server = grpc.aio.server(options=server_options())
    server.add_generic_rpc_handlers((bytes_handlers(Echo=echo),))
    print(server.add_insecure_port(f"127.0.0.1:{port}"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
