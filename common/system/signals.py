"""SIGINT and SIGTERM: an orderly stop while there is work, and ignored once it is done."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Protocol

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Loop(Protocol):
    """The methods of an event loop that ``StopSignals.waking`` calls."""

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> Any:
        """Call back whenever there is something to read."""

    def remove_reader(self, fd: int) -> Any:
        """Stop calling back."""


class StopSignals:
    """What SIGINT and SIGTERM do in this process; a context manager for the main thread.

    Without a ``handler`` they do what they did before. Once ``work_done`` is set they are ignored until the process
    has ended: container engines stop all containers of a group when the first has ended, and a process that only
    writes and closes its last files must not make a successful run a failure.

    Attributes:
        handler: called in the main thread with the number of each signal.
        work_done: ignore them from now on.
    """

    def __init__(self) -> None:
        self.handler: Callable[[int], object] | None = None
        self.work_done = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.getsignal(number) for number in STOPPING}
        for number in STOPPING:
            signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            # A Python handler ends before the process does; SIG_IGN lasts until the process has ended.
            signal.signal(number, signal.SIG_IGN if self.work_done else before)
        self._before = {}

    @contextlib.contextmanager
    def waking(self, loop: Loop) -> Iterator[None]:
        """Wake the main thread's event loop on every signal.

        Python runs a handler between two instructions of the main thread: if its loop has just begun to wait, or the
        system interrupted another thread, that may be long after the signal.
        """
        if not self._before:  # no handler is installed
            yield
            return
        reading, writing = os.pipe()
        for end in (reading, writing):
            os.set_blocking(end, False)
        earlier = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        loop.add_reader(reading, os.read, reading, 64)
        try:
            yield
        finally:
            loop.remove_reader(reading)
            signal.set_wakeup_fd(earlier)
            os.close(reading)
            os.close(writing)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        before = self._before[number]
        if self.work_done:
            return
        if self.handler is not None:
            self.handler(number)
        elif callable(before):
            before(number, frame)
        elif before is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
