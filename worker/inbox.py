"""Messages from the server, received while the worker computes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from gradwire.common.errors import InvalidArgument, Unavailable
from gradwire.common.transport.framing import Reassembler
from gradwire.common.transport.limits import CONTROL_BYTES
from gradwire.proto import wire_pb2


class Call(Protocol):
    """What this side uses of a gRPC stream-stream call, so that it may also be one without a connection."""

    def read(self) -> Awaitable[Any]: ...

    def write(self, request: bytes) -> Awaitable[None]: ...

    def done_writing(self) -> Awaitable[None]: ...

    def code(self) -> Awaitable[grpc.StatusCode]: ...

    def details(self) -> Awaitable[str]: ...

    def initial_metadata(self) -> Awaitable[Any]: ...

    def trailing_metadata(self) -> Awaitable[Any]: ...

    def cancel(self) -> bool: ...


# Of messages that a busy worker has not taken; beyond that, flow control stops the server.
MAX_QUEUED_BYTES = 64 << 20


class StreamClosed(Unavailable):
    """The server closed the stream with status OK."""


@dataclass(frozen=True)
class Received:
    """A message, and the bytes that it took on the stream."""

    message: wire_pb2.FromServer
    size: int

    @property
    def kind(self) -> str | None:
        """The name of the field that is set."""
        kind: str | None = self.message.WhichOneof("message")
        return kind


class Inbox:
    """The messages of one stream, in order; those that are queued can be looked at before they are taken."""

    def __init__(self, call: Call, on_contact: Callable[[], None]) -> None:
        """Start to receive.

        Args:
            call: the stream.
            on_contact: called for every frame that arrives.
        """
        self._call = call
        self._on_contact = on_contact
        self._assembly = Reassembler(wire_pb2.FromServer, CONTROL_BYTES)
        self._queue: deque[Received] = deque()
        self._queued_bytes = 0
        self._end: Exception | None = None
        self._interrupt: Exception | None = None
        self._changed = asyncio.Condition()
        self._receiver = asyncio.get_running_loop().create_task(self._receive())

    def set_limit(self, limit: int) -> None:
        """Accept messages of at most ``limit`` bytes from now on."""
        self._assembly.limit = limit

    @property
    def is_empty(self) -> bool:
        """Whether no message is queued and the stream has not ended."""
        return not self._queue and self._end is None and self._interrupt is None

    def newest_round(self) -> int | None:
        """The replica's round once all queued messages are folded; None when none of them moves it."""
        rounds = [after for queued in self._queue if (after := _round_after(queued.message)) is not None]
        return max(rounds, default=None)

    async def next(self) -> Received:
        """The next message.

        Raises:
            StreamClosed: the server has closed the stream, with status OK.
            InvalidArgument: it sent bytes that are not a message.
            AioRpcError: it has ended the stream with this status, or the connection broke.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: not self.is_empty)
            if self._interrupt is not None:
                raise self._interrupt
            if not self._queue:
                assert self._end is not None
                raise self._end
            received = self._queue.popleft()
            self._queued_bytes -= received.size
            self._changed.notify_all()
            return received

    async def comes_after(self, event: Coroutine[Any, Any, None]) -> bool:
        """Wait for an event or a message; whether the event came first. It is cancelled if it did not.

        Raises:
            Exception: what the event raised.
        """
        waiting = asyncio.ensure_future(event)
        message = asyncio.ensure_future(self._not_empty())
        try:
            await asyncio.wait({waiting, message}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
            return waiting.done() and self.is_empty
        finally:
            for task in (waiting, message):
                task.cancel()
            await asyncio.wait({waiting, message})

    async def _not_empty(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not self.is_empty)

    def interrupt(self, error: Exception) -> None:
        """Let ``next`` raise this from now on, whatever is queued."""
        self._interrupt = error
        self._waking = asyncio.ensure_future(self._wake())  # a task lives as long as something refers to it

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def ended(self) -> None:
        """Wait until the server has ended the stream; what it still sends is dropped."""
        async with self._changed:
            while self._end is None:
                self._queue.clear()
                self._queued_bytes = 0
                self._changed.notify_all()
                await self._changed.wait()

    async def expect(self, kind: str) -> wire_pb2.FromServer:
        """The next message, which has to be of that kind.

        Raises:
            InvalidArgument: it is of another kind; and as ``next``.
        """
        received = await self.next()
        if received.kind != kind:
            raise InvalidArgument(
                f"{received.kind} came where {kind} was expected: the peer speaks another protocol"
            )
        return received.message

    async def close(self) -> None:
        """Stop receiving. gRPC closes the connection once nothing refers to the call any more."""
        self._receiver.cancel()
        await asyncio.wait([self._receiver])
        self._end = None  # its traceback refers to this object: only a garbage collection would free the call

    async def _receive(self) -> None:
        try:
            while True:
                await self._put(await self._call.read())
        except Exception as error:  # raised by next() after the last message
            async with self._changed:
                self._end = error
                self._changed.notify_all()

    async def _put(self, frame: Any) -> None:
        if frame is grpc.aio.EOF:
            raise await stream_error(self._call)
        self._on_contact()
        message = self._assembly.add(frame)
        if message is None:
            return
        received = Received(message, self._assembly.received)
        async with self._changed:
            self._queue.append(received)
            self._queued_bytes += received.size
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._queued_bytes <= MAX_QUEUED_BYTES)


def _round_after(message: wire_pb2.FromServer) -> int | None:
    kind = message.WhichOneof("message")
    if kind == "entry":
        return message.entry.round + 1
    if kind == "snapshot":
        return message.snapshot.round
    return message.finish.rounds if kind == "finish" else None


async def stream_error(call: Call) -> Exception:
    """The status with which the server ended a stream, as an exception."""
    code = await call.code()
    if code is grpc.StatusCode.OK:
        return StreamClosed("the server closed the stream before the run was finished")
    return grpc.aio.AioRpcError(
        code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )
