"""SIGINT and SIGTERM: a stop in order while there is something to stop, and nothing once the work is done."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Protocol

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Loop(Protocol):
    """What an event loop does for ``StopSignals.waking``."""

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> Any:
        """Call back whenever there is something to read."""

    def remove_reader(self, fd: int) -> Any:
        """Do so no more."""


class StopSignals:
    """What the signals that ask this process to stop do; a context manager for the main thread.

    They do what they did before, unless ``heed`` is set. Once ``over`` is, they do nothing any more, to the end of the
    process: who runs containers stops all of them when the first has ended, and a process whose work is done has a few
    moments of writing and closing left, which are not to make a failure of a run that succeeded.

    Attributes:
        heed: is called with the number of each that arrives, in the main thread, wherever that is.
        over: the work is done.
    """

    def __init__(self) -> None:
        self.heed: Callable[[int], object] | None = None
        self.over = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.getsignal(number) for number in STOPPING}
        for number in STOPPING:
            signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            # A handler of Python's ends before the process does; what is ignored stays ignored to the last.
            signal.signal(number, signal.SIG_IGN if self.over else before)
        self._before = {}

    @contextlib.contextmanager
    def waking(self, loop: Loop) -> Iterator[None]:
        """While it lasts, a signal wakes the event loop of the main thread.

        Python calls a handler between two instructions: of a loop that has just begun to wait, or where the system
        chose another thread to interrupt, that may be long after the signal.
        """
        if not self._before:  # nothing arrives here
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
        if self.over:
            return
        if self.heed is not None:
            self.heed(number)
        elif callable(before):
            before(number, frame)
        elif before is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
