"""Which evaluation of a run is its best: a metric, and whether larger or smaller values of it are better."""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.common.errors import ConfigError

DIRECTIONS = ("max", "min")


@dataclass(frozen=True)
class KeepBest:
    """A rule that compares evaluations.

    Attributes:
        metric: its name in the task's evaluations.
        smaller: whether smaller values are better.
    """

    metric: str
    smaller: bool = False

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value is better than the best one so far; the first of equal ones is the best."""
        return than is None or (value < than if self.smaller else value > than)


def parse_keep_best(text: str) -> KeepBest:
    """A rule from its text, a metric with ``:min`` where smaller is better.

    Raises:
        ConfigError: no metric, or another direction.

    >>> parse_keep_best("test_loss:min")
    KeepBest(metric='test_loss', smaller=True)
    """
    metric, colon, direction = text.partition(":")
    if not metric or metric != metric.strip() or (colon and direction not in DIRECTIONS):
        raise ConfigError(f"keep_best is {text!r}, expected a metric, such as accuracy or test_loss:min")
    return KeepBest(metric, direction == "min")
