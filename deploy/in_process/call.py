"""A stream between a worker and the server of its own process: both ends of a call without a connection.

Frames are handed over as they would be written to gRPC, so both ends build, count, check and parse every message as on
the wire. A refusal reaches the worker by the same status.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from gradwire.common.transport.statuses import status_of

_EMPTY = grpc.aio.Metadata()

Serve = Callable[[AsyncIterator[bytes], Any], Awaitable[None]]


class LocalCall:
    """The worker's end, with the methods of a gRPC stream-stream call; it starts the server's end."""

    def __init__(self, serve: Serve, peer: str) -> None:
        """Open a stream.

        Args:
            serve: serves it, as ``ParameterServer.train``.
            peer: names it to the server.
        """
        self._requests: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._status: tuple[grpc.StatusCode, str] | None = None  # None until the server has ended the stream
        context = _Context(self._answers, peer)
        self._serving = asyncio.get_running_loop().create_task(self._serve(serve, context))

    async def _serve(self, serve: Serve, context: _Context) -> None:
        try:
            await serve(self._received(), context)
            self._status = grpc.StatusCode.OK, ""
        except asyncio.CancelledError:
            self._status = grpc.StatusCode.CANCELLED, "the worker cancelled the call"
        except Exception as error:
            self._status = status_of(error)
        finally:
            self._answers.put_nowait(None)

    async def _received(self) -> AsyncIterator[bytes]:
        while (frame := await self._requests.get()) is not None:
            yield frame

    async def read(self) -> Any:
        """The server's next frame, or ``grpc.aio.EOF`` once it has ended the stream."""
        frame = await self._answers.get()
        return grpc.aio.EOF if frame is None else frame

    async def write(self, request: bytes) -> None:
        """Send a frame.

        Raises:
            InvalidStateError: the server has ended the stream.
        """
        if self._status is not None:
            raise asyncio.InvalidStateError
        self._requests.put_nowait(request)

    async def done_writing(self) -> None:
        """Half-close."""
        self._requests.put_nowait(None)

    async def code(self) -> grpc.StatusCode:
        """The status with which the server has ended the stream."""
        await asyncio.wait([self._serving])
        assert self._status is not None
        return self._status[0]

    async def details(self) -> str:
        """The text of the status."""
        return self._status[1] if self._status is not None else ""

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """None are sent."""
        return _EMPTY

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """None are sent."""
        return _EMPTY

    def cancel(self) -> bool:
        """End the stream if it lasts."""
        return self._serving.cancel()

    async def ended(self) -> None:
        """Wait until the server's end is over."""
        await asyncio.wait([self._serving])


class _Context:
    """The server's end, with what the service asks of a gRPC context."""

    def __init__(self, answers: asyncio.Queue[bytes | None], peer: str) -> None:
        self._answers, self._peer = answers, peer

    def peer(self) -> str:
        return self._peer

    def auth_context(self) -> dict[str, Any]:
        return {}

    async def write(self, frame: bytes) -> None:
        self._answers.put_nowait(frame)
