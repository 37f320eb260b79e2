"""Work that changes a run is carried out to its end, whatever happens to the stream that asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gradwire.common.errors import WireError
from gradwire.common.transport.threads import in_executor


class RunExecutor:
    """Tasks that no stream can cancel, and one thread for calls that wait for the disk."""

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        """``fail`` is called with an error that may have left the run's state inconsistent."""
        self._fail = fail
        self._tasks: set[asyncio.Task[None]] = set()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="log")

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Carry work out to its end, even when the stream that asked for it is cancelled in between.

        Raises:
            WireError: a refusal, which left the run as it was.
        """
        await asyncio.shield(self.start(work))

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin work that nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        """A WireError goes to the caller; any other exception may leave the state inconsistent, so the run fails."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, WireError):
            self._fail(error)

    async def on_disk(self, call: Callable[..., Any], *args: Any) -> Any:
        """The result of a call that may wait for the disk; such calls run one after the other."""
        return await in_executor(self._disk, call, *args)

    def close(self) -> None:
        """Wait for the disk calls that were begun."""
        self._disk.shutdown()
