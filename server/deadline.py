"""The timer of a round's deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls back with the round that was armed last, once its time has passed."""

    def __init__(self, seconds: float, passed: Callable[[int], None]) -> None:
        """``seconds`` is the configured deadline; 0 for none."""
        self._seconds = seconds
        self._passed = passed
        self._timer: asyncio.TimerHandle | None = None

    def arm(self, round_: int) -> None:
        """Begin the time of a round, in place of an earlier one's."""
        self.cancel()
        if self._seconds:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self._passed, round_)

    def cancel(self) -> None:
        """Do not call back for the round that was armed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
