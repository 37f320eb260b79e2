"""What a joined program prints: one line that is rewritten on a terminal, and lines that people must see."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, TextIO

EVERY = 0.1  # seconds between two pictures of the line on a terminal
EVERY_ELSEWHERE = 2.0  # and between lines elsewhere
log = logging.getLogger("gradwire")


class ProgressLine:
    """Progress on standard error."""

    def __init__(self, show: bool | None, stream: TextIO | None = None) -> None:
        """Print to a stream.

        Args:
            show: True: lines and progress; None: progress only where the stream is a terminal; False: neither, lines
                are logged.
            stream: None for standard error.
        """
        self._stream = stream or sys.stderr
        self._show = self._stream.isatty() if show is None else show
        self._rewrites = self._stream.isatty()
        self._silent = show is False
        self._began: tuple[float, int] | None = None
        self._width, self._shown = 0, 0.0

    def say(self, text: str) -> None:
        """A line for the user."""
        if self._silent:
            log.info(text)
        else:
            self._print(f"gradwire: {text}", rewritten=False)

    def exchanged(
        self, status: dict[str, Any], late: int | None, loss: float | None, *, finished: bool
    ) -> None:
        """After an exchange; ``late`` is the round that was committed without this site's update."""
        if late is not None:
            self.say(f"round {late} was committed before this site's update came: it is not counted")
        now = time.monotonic()
        every = EVERY if self._rewrites else EVERY_ELSEWHERE
        if not self._show or (now - self._shown < every and not finished):
            return
        self._shown = now
        if self._began is None:
            self._began = now, status["round"]
        self._print(self._line(status, loss, now), rewritten=self._rewrites and not finished)

    def left(self, name: str, round_: int, rounds: int) -> None:
        """This site left before the end."""
        self.say(
            f"{name or 'this site'} left the run after {round_} of {rounds} rounds: its seat is kept, and the run "
            "is not finished"
        )

    def _line(self, status: dict[str, Any], loss: float | None, now: float) -> str:
        round_, rounds = status["round"], status["rounds"]
        parts = [f"gradwire: {status['process']}: round {round_} of {rounds}"]
        if loss is not None:
            parts.append(f"loss {loss:.4g}")
        up, down = (status[way]["message_bytes"] for way in ("uplink", "downlink"))
        parts.append(f"{_bytes(up)} up, {_bytes(down)} down")
        assert self._began is not None
        began, first = self._began
        if round_ - first >= 2:
            left = (now - began) / (round_ - first) * (rounds - round_)
            parts.append(f"{_duration(left)} left")
        return " · ".join(parts)

    def _print(self, text: str, *, rewritten: bool) -> None:
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
        self._stream.write(text if rewritten else text + "\n")
        self._width = len(text) if rewritten else 0
        self._stream.flush()


def _bytes(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
