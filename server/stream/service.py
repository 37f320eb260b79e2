"""The gRPC service: one stream per worker process, from its first message to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager

import grpc

from gradwire.common.errors import LogError, Unavailable
from gradwire.server.coordinator import Coordinator
from gradwire.server.outgoing import OutgoingEntry
from gradwire.server.stream.identity import name_in_certificate
from gradwire.server.stream.inbox import Inbox
from gradwire.server.stream.joining import Joining
from gradwire.server.stream.messages import Messages
from gradwire.server.stream.session import Session
from gradwire.server.stream.traffic_check import TrafficCheck

FLUSH_SECONDS = 1.0  # in which a stream that ends early may still take what is queued

Context = grpc.aio.ServicerContext[bytes, bytes]


class ParameterServer:
    """Serves streams; what they change, the coordinator decides."""

    def __init__(
        self,
        coordinator: Coordinator,
        on_stream: Callable[[str], AbstractContextManager[None]],
        dim: int | None = None,
        *,
        own_data: bool = False,
    ) -> None:
        """Serve a run.

        Args:
            coordinator: the run.
            on_stream: is entered with the peer's name as long as a stream lasts.
            dim: coordinates that the model must have; None for what the first worker has.
            own_data: each process trains on data of its own.
        """
        self._run = coordinator
        self._on_stream = on_stream
        self._streams: dict[str, Session] = {}
        traffic = TrafficCheck(coordinator.counters)
        self._joining = Joining(coordinator, self._streams, traffic, dim, own_data=own_data)
        self._messages = Messages(coordinator, traffic)

    async def train(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Serve one process until its stream ends."""
        try:
            with self._on_stream(context.peer()):
                await self._serve(Inbox(requests), context)
        # Its text names files of the server, which are not the workers' concern.
        except LogError as error:
            self._run.fail(error)
            raise Unavailable("the server cannot write its log and stops: it goes on once it can") from error

    async def _serve(self, inbox: Inbox, context: Context) -> None:
        session = await self._joining.accept(inbox, name_in_certificate(context))
        writer = asyncio.create_task(self._write(session, context))
        try:
            await self._joining.bring_in(session, inbox)
            while (message := await inbox.next()) is not None:
                await self._messages.handle(session, message, inbox.assembly)
            # All streams end together: container engines stop a run's containers once one of them has exited.
            if session.done:
                await self._run.shutdown.requested.wait()
        except asyncio.CancelledError:
            # Without a reason it was gRPC that cancelled, because the worker is gone.
            if session.abort_reason is None:
                raise
            raise Unavailable(session.abort_reason) from None
        finally:
            await self._end(session, writer)

    async def _end(self, session: Session, writer: asyncio.Task[None]) -> None:
        """End a stream: the run goes on without it; what is queued is still written, if the peer reads it."""
        session.closing = True
        if self._streams.get(session.process) is session:
            del self._streams[session.process]
        try:
            await self._run.leave(session)
            session.outbox.put_nowait(None)
            # grpc cannot end a stream with a status while a write is under way.
            await asyncio.wait([writer], timeout=None if session.done else FLUSH_SECONDS)
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    def abort_all(self, reason: str) -> None:
        """End every stream with UNAVAILABLE and this reason: the workers may reconnect."""
        for session in self._streams.values():
            session.abort(reason)

    async def _write(self, session: Session, context: Context) -> None:
        """Send what is queued until None, or until the connection is gone, which the reader notices too."""
        with contextlib.suppress(grpc.aio.BaseError, grpc.aio.UsageError, asyncio.InvalidStateError):
            while (outgoing := await session.outbox.get()) is not None:
                if isinstance(outgoing, OutgoingEntry):
                    session.count_started(outgoing)
                for frame in outgoing.frames:
                    await context.write(frame)
                session.waiting_bytes -= outgoing.size
                if isinstance(outgoing, OutgoingEntry):
                    self._run.counters.downlink.count(outgoing.counts)
