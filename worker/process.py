"""A worker process: joins a run, and takes part until it ends, through every disconnect."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from gradwire.common.errors import Unavailable
from gradwire.common.transport import protocol
from gradwire.common.transport.framing import MAX_MESSAGE_BYTES
from gradwire.common.transport.options import channel_options
from gradwire.common.transport.statuses import error_of
from gradwire.worker.privacy import Limits
from gradwire.worker.stream import Call, Stream, Work

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
        target: the server, HOST:PORT.
        name: names this process across reconnects and restarts.
        count: logical workers to host; ``workers`` asks for particular ids instead.
        retry_for: seconds without a connection after which it gives up.
        state_dir: folder for what must survive a restart; None keeps it in memory.
        limits: what its owner allows, whatever the server asks for.
        allow_import: tasks of the user's own that this machine's user allowed.
        credentials: for TLS; None is plaintext.
    """

    target: str
    name: str
    count: int = 1
    workers: tuple[int, ...] = ()
    retry_for: float = 60.0
    allow_import: Collection[str] = ()
    state_dir: Path | None = None
    limits: Limits | None = None
    credentials: grpc.ChannelCredentials | None = field(default=None, repr=False)


class WorkerProcess:
    """Connects, and connects again, keeping replica and payloads in between."""

    def __init__(self, options: WorkerOptions, progress: Callable[[str], None] = log.info) -> None:
        self._options = options
        self._progress = progress
        self._work = Work(options.allow_import, options.state_dir, options.limits)

    async def run(self) -> None:
        """Take part until the run is finished.

        Raises:
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
                    if self._gives_up(time.monotonic() - last_contact):
                        if self._work.finished:
                            return self._progress("the run is finished; the server left without a last word")
                        raise Unavailable(
                            f"no server at {self._options.target} for {self._options.retry_for:g} s: is it running?"
                        ) from error
                    self._progress(f"no connection to {self._options.target}: trying again in {backoff:g} s")
                    await asyncio.sleep(backoff)
                    backoff = min(2 * backoff, LONGEST_BACKOFF)
        finally:
            await channel.close()
            self._work.close()

    def _gives_up(self, seconds: float) -> bool:
        """Whether so many seconds without the server are enough."""
        retry_for = self._options.retry_for
        return seconds > (min(retry_for, CONFIRM_FOR) if self._work.finished else retry_for)

    def _channel(self) -> grpc.aio.Channel:
        options = channel_options(MAX_MESSAGE_BYTES)
        if self._options.credentials is None:
            return grpc.aio.insecure_channel(self._options.target, options)
        return grpc.aio.secure_channel(self._options.target, self._options.credentials, options)

    async def _connect(self, channel: grpc.aio.Channel) -> None:
        call: Call = channel.stream_stream(protocol.METHOD)()
        options = self._options
        try:
            await Stream(call, self._work, options.name, options.count, options.workers, self._progress).run()
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        finally:
            call.cancel()
