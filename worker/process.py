"""A worker process: joins a run, and takes part until it ends, through every disconnect."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import grpc

from gradwire.common.errors import Unavailable
from gradwire.common.transport import protocol
from gradwire.common.transport.address import Address
from gradwire.common.transport.options import channel_options
from gradwire.common.transport.statuses import wire_errors
from gradwire.common.transport.tls import WorkerTls
from gradwire.worker.arrivals import Call
from gradwire.worker.privacy import Limits
from gradwire.worker.stream import Stream
from gradwire.worker.tls_probe import why_refused
from gradwire.worker.work import Work

log = logging.getLogger(__name__)

FIRST_BACKOFF = 0.2  # seconds; doubled after each failure
LONGEST_BACKOFF = 5.0
CONFIRM_FOR = (
    20.0  # seconds to look for the server of a finished run, to be sure that it has heard our last word
)


@dataclass(frozen=True)
class WorkerOptions:
    """What a worker process needs to know before it has joined.

    Attributes:
        server: where it is.
        name: names this process across reconnects and restarts.
        count: logical workers to host; ``workers`` asks for particular ids instead.
        retry_for: seconds without a connection after which it gives up.
        state_dir: folder for what must survive a restart; None keeps it in memory.
        limits: what its owner allows, whatever the server asks for.
        allow_import: tasks of the user's own that this machine's user allowed.
        tls: certificates; None is plaintext.
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


class WorkerProcess:
    """Connects, and connects again, keeping replica and payloads in between."""

    def __init__(self, options: WorkerOptions, progress: Callable[[str], None] = log.info) -> None:
        self._options = options
        self._progress = progress
        self._work = Work(options.allow_import, options.state_dir, options.limits)
        self._hurried = asyncio.Event()

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
                    if self._work.take_contact():
                        last_contact, backoff = time.monotonic(), FIRST_BACKOFF
                    elif not self._work.said:
                        await self._check_certificates(error)
                    if self._gives_up(time.monotonic() - last_contact):
                        if self._work.said:
                            return self._progress("the run is finished; the server left without a last word")
                        if self._hurried.is_set():
                            raise asyncio.CancelledError from error
                        raise Unavailable(
                            f"no server at {self._options.server} for {self._options.retry_for:g} s: is it running?"
                        ) from error
                    self._progress(f"no connection to {self._options.server}: trying again in {backoff:g} s")
                    await self._pause(backoff)
                    backoff = min(2 * backoff, LONGEST_BACKOFF)
        finally:
            await channel.close()
            self._work.close()

    @property
    def finished(self) -> bool:
        """Whether the last round was folded: what is left is the server's word that it knows."""
        return self._work.finished

    def hurry(self) -> None:
        """Somebody wants this process to end: it looks for no server that is gone any more."""
        self._hurried.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), seconds)

    def _gives_up(self, seconds: float) -> bool:
        """Whether so many seconds without the server are enough."""
        retry_for = self._options.retry_for
        return self._hurried.is_set() or seconds > (
            min(retry_for, CONFIRM_FOR) if self._work.said else retry_for
        )

    def _channel(self) -> grpc.aio.Channel:
        options = channel_options()
        target, tls = self._options.server.target, self._options.tls
        if tls is None:
            return grpc.aio.insecure_channel(target, options)
        return grpc.aio.secure_channel(target, tls.credentials(), options)

    async def _check_certificates(self, error: Unavailable) -> None:
        """A server that never answered may have been put off by our certificate, or we by its."""
        refusal = await asyncio.to_thread(why_refused, self._options.server, self._options.tls)
        if refusal is not None:
            raise refusal from error

    async def _connect(self, channel: grpc.aio.Channel) -> None:
        call: Call = channel.stream_stream(protocol.METHOD)()
        options = self._options
        try:
            with wire_errors():
                await Stream(
                    call, self._work, options.name, options.count, options.workers, self._progress
                ).run()
        finally:
            call.cancel()
