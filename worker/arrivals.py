"""What the server has sent: read as it comes, beside whatever the worker computes meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from gradwire.common.errors import InvalidArgument, Unavailable
from gradwire.common.transport.framing import Reassembler
from gradwire.common.transport.limits import CONTROL_BYTES
from gradwire.proto import wire_pb2

Call = grpc.aio.StreamStreamCall[bytes, bytes]
MAX_WAITING = (
    64 << 20
)  # bytes of messages that wait for a busy worker; beyond that the transport holds the server back


@dataclass(frozen=True)
class Arrival:
    """A message, and the bytes that it took on the stream."""

    message: wire_pb2.FromServer
    size: int

    @property
    def kind(self) -> str | None:
        """The name of the field that is set."""
        kind: str | None = self.message.WhichOneof("message")
        return kind


class Arrivals:
    """The messages of one stream in order, of which those that wait can be seen before their turn.

    ``limit`` (bytes) is the longest message that the server may send next.
    """

    def __init__(self, call: Call, on_contact: Callable[[], None]) -> None:
        self._call = call
        self._on_contact = on_contact
        self._assembly = Reassembler(wire_pb2.FromServer, CONTROL_BYTES)
        self._waiting: deque[Arrival] = deque()
        self._bytes = 0
        self._end: Exception | None = None
        self._changed = asyncio.Condition()
        self._reader = asyncio.get_running_loop().create_task(self._read())

    def set_limit(self, limit: int) -> None:
        """The longest message, in bytes, that the server may send from now on."""
        self._assembly.limit = limit

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to be looked at: no message waits, and the stream has not ended."""
        return not self._waiting and self._end is None

    def newest_round(self) -> int | None:
        """The round at which the replica will stand once all that waits is folded; None where nothing moves it."""
        rounds = [known for arrival in self._waiting if (known := _round_after(arrival.message)) is not None]
        return max(rounds, default=None)

    async def next(self) -> Arrival:
        """The next message.

        Raises:
            Unavailable: the server has closed the stream.
            InvalidArgument: it sent something that is no message.
            AioRpcError: it has ended the stream with this status, or the connection broke.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: not self.is_idle)
            if not self._waiting:
                assert self._end is not None
                raise self._end
            arrival = self._waiting.popleft()
            self._bytes -= arrival.size
            self._changed.notify_all()
            return arrival

    async def expect(self, kind: str) -> wire_pb2.FromServer:
        """The next message, which has to be of that kind."""
        arrival = await self.next()
        if arrival.kind != kind:
            raise InvalidArgument(
                f"{arrival.kind} came where {kind} was expected: the peer speaks another protocol"
            )
        return arrival.message

    async def close(self) -> None:
        """Stop reading. gRPC closes the connection once nobody refers to the call any more."""
        self._reader.cancel()
        await asyncio.wait([self._reader])
        self._end = None  # its traceback leads back to here: until a collection, nothing would be let go

    async def _read(self) -> None:
        try:
            while True:
                await self._take(await self._call.read())
        except Exception as error:  # whoever takes the messages gets it, after the last of them
            async with self._changed:
                self._end = error
                self._changed.notify_all()

    async def _take(self, raw: Any) -> None:
        if raw is grpc.aio.EOF:
            raise await ended(self._call)
        self._on_contact()
        message = self._assembly.add(raw)
        if message is None:
            return
        arrival = Arrival(message, self._assembly.received)
        async with self._changed:
            self._waiting.append(arrival)
            self._bytes += arrival.size
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._bytes <= MAX_WAITING)


def _round_after(message: wire_pb2.FromServer) -> int | None:
    kind = message.WhichOneof("message")
    if kind == "entry":
        return message.entry.round + 1
    if kind == "snapshot":
        return message.snapshot.round
    return message.finish.rounds if kind == "finish" else None


class EndedInOrder(Unavailable):
    """The server has closed the stream and found nothing wrong with it."""


async def ended(call: Call) -> Exception:
    """Why the server ended the stream."""
    code = await call.code()
    if code is grpc.StatusCode.OK:
        return EndedInOrder("the server closed the stream before the run was finished")
    return grpc.aio.AioRpcError(
        code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )
