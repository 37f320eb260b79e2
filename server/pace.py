"""How fast a run goes, and how long it will take: from its recent rounds."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

WINDOW = 10.0  # seconds of rounds that count
LEAST = 16  # steps between two events that count even if they are older
APART = 0.05  # seconds between two points that are kept
STALLED = 5.0  # times the median: a step that took longer counts as so long


class Pace:
    """Seconds per round, from the run's own clock, which stands still while no server runs.

    A round that waited for a worker, or for the server, moves the estimate little: no step between two events counts as
    more than five times the median.

    >>> pace = Pace()
    >>> for round_, seconds in enumerate([1.0, 2.0, 3.0, 63.0, 64.0]):
    ...     pace.add(round_, seconds)
    >>> pace.rate, pace.remaining(14)
    (0.5, 20.0)
    """

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def add(self, round_: int, seconds: float) -> None:
        """So many rounds were committed after so many seconds of the run."""
        points = self._points
        if points and not (round_ > points[-1][1] and seconds >= points[-1][0]):
            points.clear()  # another run
        if len(points) > 1 and seconds - points[-2][0] < APART:
            points.pop()
        points.append((seconds, round_))
        while len(points) > LEAST + 1 and seconds - points[1][0] > WINDOW:
            points.popleft()

    @property
    def rate(self) -> float | None:
        """Rounds per second; None before the second round."""
        points = list(self._points)
        steps = [(after - before, last - first) for (before, first), (after, last) in pairwise(points)]
        if not steps:
            return None
        most = STALLED * _median(steps)
        seconds = sum(min(took, most * rounds) for took, rounds in steps)
        return sum(rounds for _, rounds in steps) / seconds if seconds > 0 else None

    def remaining(self, rounds: int) -> float | None:
        """Seconds until so many rounds are committed at this rate; None before the second round."""
        rate = self.rate
        return max(0, rounds - self._points[-1][1]) / rate if rate else None


def _median(steps: list[tuple[float, int]]) -> float:
    """The seconds per round that half of the rounds took at most."""
    ranked = sorted((took / rounds, rounds) for took, rounds in steps)
    half = sum(rounds for _, rounds in steps) / 2
    for each, rounds in ranked:
        half -= rounds
        if half <= 0:
            return each
    return ranked[-1][0]


def clock_time(seconds: float) -> str:
    """A time span as h:mm:ss.

    >>> clock_time(75), clock_time(7265.4), clock_time(360_000)
    ('0:01:15', '2:01:05', '100:00:00')
    """
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"
