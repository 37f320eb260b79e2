"""A worker process: joins a run and takes part until it is finished, reconnecting after every disconnect."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from gradwire.common.errors import Unavailable
from gradwire.common.training.model import Model
from gradwire.common.transport import protocol
from gradwire.common.transport.address import Address
from gradwire.common.transport.options import channel_options
from gradwire.common.transport.statuses import wire_errors
from gradwire.common.transport.tls import WorkerTls
from gradwire.proto import wire_pb2
from gradwire.worker.privacy import Limits
from gradwire.worker.run_state import RunState
from gradwire.worker.site import Site
from gradwire.worker.stream import Stream
from gradwire.worker.tls_probe import diagnose

if TYPE_CHECKING:
    from gradwire.worker.join.loop import OwnLoop

log = logging.getLogger(__name__)

FIRST_BACKOFF = 0.2  # seconds; doubled after each failure
LONGEST_BACKOFF = 5.0
CONFIRM_FOR = 20.0  # seconds to reconnect in after Done was sent, to learn that the server has received it


@dataclass(frozen=True)
class WorkerOptions:
    """What a worker process is started with.

    Attributes:
        server: its address.
        name: identifies this process across reconnects and restarts.
        count: logical workers to host; ``workers`` asks for particular ids instead.
        retry_for: seconds without a connection after which it gives up.
        state_dir: folder for what must survive a restart; None keeps it in memory.
        limits: what its owner allows, whatever the server asks for.
        allow_import: tasks of the user's own that this machine's user allowed.
        tls: certificates; None is plaintext.
        site: the data of this process.
    """

    server: Address
    name: str
    count: int = 1
    workers: tuple[int, ...] = ()
    retry_for: float = 60.0
    allow_import: Collection[str] = ()
    state_dir: Path | None = None
    limits: Limits | None = None
    tls: WorkerTls | None = None
    site: Site = field(default_factory=Site)


class WorkerProcess:
    """Connects and reconnects; keeps replica and payloads in between."""

    def __init__(
        self,
        options: WorkerOptions,
        progress: Callable[[str], None] = log.info,
        loop: OwnLoop | None = None,
    ) -> None:
        """Nothing is joined yet.

        Args:
            options: what it is started with.
            progress: called with lines for the user.
            loop: hands over the updates of a training loop of the user's own; None where a task computes them.
        """
        self._options = options
        self._progress = progress
        site = replace(options.site, name=options.name)
        self._state = RunState(options.allow_import, options.state_dir, options.limits, site, loop)
        self._stream: Stream | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Take part until the run is finished.

        Raises:
            Unauthenticated: certificates, or TLS itself, keep this worker out; trying again would not help.
            GradwireError: the server refused this worker, or could not be reached for ``retry_for`` seconds.
        """
        channel = self._channel()
        last_contact, backoff = time.monotonic(), FIRST_BACKOFF
        try:
            while True:
                try:
                    return await self._connect(channel)
                except Unavailable as error:
                    if self._state.pop_contact():
                        last_contact, backoff = time.monotonic(), FIRST_BACKOFF
                    elif not self._state.done_sent:
                        await self._check_certificates(error)
                    if self._gives_up(time.monotonic() - last_contact):
                        return self._give_up(error)
                    self._progress(f"no connection to {self._options.server}: trying again in {backoff:g} s")
                    await self._pause(backoff)
                    backoff = min(2 * backoff, LONGEST_BACKOFF)
        finally:
            await channel.close()
            self._state.close()

    @property
    def finished(self) -> bool:
        """Whether the last round is folded: only the server's acknowledgement of Done is missing."""
        return self._state.finished

    @property
    def model(self) -> Model:
        """The replica's model, once a run is joined."""
        return self._state.model

    def status(self) -> dict[str, Any]:
        """Where this process stands in the run, as JSON."""
        return {**self._state.status(), "process": self._options.name}

    def leave(self, reason: str) -> None:
        """Leave the run before its end: the server is told now, if there is a stream."""
        self._stop.set()
        if self._stream is not None:
            self._stream.leave(reason)

    def stop_reconnecting(self) -> None:
        """Exit at the next disconnect, or now if there is no connection."""
        self._stop.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def _gives_up(self, seconds: float) -> bool:
        """Whether to stop reconnecting after so many seconds without the server."""
        longest = self._options.retry_for
        if self._state.done_sent:
            longest = min(longest, CONFIRM_FOR)
        return self._stop.is_set() or seconds > longest

    def _give_up(self, error: Unavailable) -> None:
        """Return if the run is finished, else raise."""
        if self._state.done_sent:
            return self._progress("the run is finished; the server left before it acknowledged Done")
        if self._stop.is_set():
            raise asyncio.CancelledError from error
        raise Unavailable(
            f"no server at {self._options.server} for {self._options.retry_for:g} s: is it running?"
        ) from error

    def _channel(self) -> grpc.aio.Channel:
        target, tls = self._options.server.target, self._options.tls
        if tls is None:
            return grpc.aio.insecure_channel(target, channel_options())
        return grpc.aio.secure_channel(target, tls.credentials(), channel_options())

    async def _check_certificates(self, error: Unavailable) -> None:
        """A server that never answered may have refused this worker's certificate, or the worker the server's."""
        refusal = await asyncio.to_thread(diagnose, self._options.server, self._options.tls)
        if refusal is not None:
            raise refusal from error

    async def _connect(self, channel: grpc.aio.Channel) -> None:
        call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(protocol.METHOD)()
        options = self._options
        join = wire_pb2.Join(
            protocol=protocol.PROTOCOL,
            process=options.name,
            count=options.count,
            workers=options.workers,
            own_loop=self._state.own_loop,
            started=self._state.started,
        )
        self._stream = Stream(call, self._state, join, self._progress)
        try:
            with wire_errors():
                await self._stream.run()
        finally:
            self._stream = None
            call.cancel()
