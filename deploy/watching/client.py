"""The events of a run, from its server: over as many connections as it takes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc

from gradwire.common.errors import FailedPrecondition, InvalidArgument, Unavailable, WireError
from gradwire.common.transport import protocol
from gradwire.common.transport.address import Address
from gradwire.common.transport.options import channel_options
from gradwire.common.transport.statuses import error_of
from gradwire.common.transport.tls import WorkerTls
from gradwire.proto import wire_pb2
from gradwire.worker.tls_probe import diagnose

FIRST_BACKOFF = 0.2  # seconds; doubled after each failure
LONGEST_BACKOFF = 5.0
LAST = ("finished", "failed")  # kinds of events after which nothing follows

Event = dict[str, Any]
# A connection of its own: the server does not count it among the run's.
_OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)


@dataclass
class Client:
    """Watches a run.

    Attributes:
        locate: the server's address; None while it is not known. Is called before each connection.
        tls: certificates; None is plaintext.
        retry_for: seconds without the server after which it is given up.
        first_for: the same before the first contact.
        say: is called with lines about the connection.
        met: a server has answered.
    """

    locate: Callable[[], Address | None]
    tls: WorkerTls | None
    retry_for: float
    first_for: float
    say: Callable[[str], None]
    met: bool = False

    async def events(self) -> AsyncGenerator[Event, None]:
        """The state of the run, then what happens, up to its outcome; the state again after each reconnect.

        Raises:
            Unauthenticated: certificates, or TLS itself, keep this process out.
            Unavailable: no server for ``retry_for`` seconds.
            WireError: the server refuses to be watched.
        """
        last_contact, backoff = time.monotonic(), FIRST_BACKOFF
        while True:
            server = self.locate()
            try:
                async with aclosing(self._stream(server)) as stream:
                    async for event in stream:
                        last_contact, backoff, self.met = time.monotonic(), FIRST_BACKOFF, True
                        yield event
                        if event["event"] in LAST:
                            return
                raise Unavailable("the server ended the stream before the run")
            except Unavailable as error:
                if server is not None and not self.met:
                    await self._check_certificates(server, error)
                limit = self.retry_for if self.met else self.first_for
                if time.monotonic() - last_contact >= limit:
                    raise Unavailable(
                        f"no server at {server or 'this folder'} for {limit:g} s: is it running?"
                    ) from error
            self.say(f"no connection to {server or 'a server'}: trying again in {backoff:g} s")
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, LONGEST_BACKOFF)

    async def _stream(self, server: Address | None) -> AsyncGenerator[Event, None]:
        if server is None:
            raise Unavailable("no server uses this folder")
        async with self._channel(server) as channel:
            request = wire_pb2.WatchRequest(protocol=protocol.PROTOCOL).SerializeToString()
            method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(protocol.WATCH)
            call = method(request)
            try:
                async for raw in call:
                    yield _parsed(raw)
            except grpc.aio.AioRpcError as error:
                raise _refusal(error) from error
            finally:
                call.cancel()

    def _channel(self, server: Address) -> grpc.aio.Channel:
        options = [*channel_options(), _OWN_CONNECTION]
        if self.tls is None:
            return grpc.aio.insecure_channel(server.target, options)
        return grpc.aio.secure_channel(server.target, self.tls.credentials(), options)

    async def _check_certificates(self, server: Address, error: Unavailable) -> None:
        refusal = await asyncio.to_thread(diagnose, server, self.tls)
        if refusal is not None:
            raise refusal from error


def _refusal(error: grpc.aio.AioRpcError) -> WireError:
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return FailedPrecondition("this server cannot be watched: it is of an earlier release")
    return error_of(error)


def _parsed(raw: bytes) -> Event:
    try:
        event = json.loads(wire_pb2.WatchEvent.FromString(raw).json)
        event["event"]
    except Exception as error:
        raise InvalidArgument(
            "the server sent something else than events: it speaks another protocol"
        ) from error
    return dict(event)
