"""SIGINT and SIGTERM: a stop in order while there is something to stop, and nothing once the work is done."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """What the signals that ask this process to stop do; a context manager for the main thread.

    They do what they did before, but for ``heeded_by``. Once ``over`` is set they do nothing any more, to the end of
    the process: who runs containers stops all of them when the first has ended, and a process whose work is done has a
    few moments of writing and closing left, which are not to make a failure of a run that succeeded.

    Attributes:
        over: the work is done.
    """

    def __init__(self) -> None:
        self.over = False
        self._heed: Callable[[int], object] | None = None
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

    @contextlib.contextmanager
    def heeded_by(self, heed: Callable[[int], object]) -> Iterator[None]:
        """While it lasts, ``heed`` is called with the number of each that arrives, wherever the main thread is then."""
        self._heed = heed
        try:
            yield
        finally:
            self._heed = None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        before = self._before[number]
        if self.over:
            return
        if self._heed is not None:
            self._heed(number)
        elif callable(before):
            before(number, frame)
        elif before is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
