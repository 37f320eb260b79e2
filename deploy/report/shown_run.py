"""A run as a page shows it, whether it comes from a folder, from a summary, or from a command that has just ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradwire.worker.privacy.spending import Spending

# Keys of a row of the history that are no metrics.
_NO_METRICS = frozenset({"round", "loss", "metrics_min", "metrics_max", "sites"})


@dataclass(frozen=True)
class ShownRun:
    """A run.

    Attributes:
        name: in legends and tables; different for each run of a page.
        summary: as ``gradwire run --json`` writes it; what is not known is missing or None.
        round: rounds that are committed.
        config: settings by name; empty where the source does not have them.
        run_id: hexadecimal, or empty.
        releases: of gradwire that wrote the log, with their first rounds.
        digests: parameters that each process ended with, hexadecimal, by its name.
        spending: of the privacy budget, by process.
        failure: why the run ended before it was finished, or empty.
    """

    name: str
    summary: Mapping[str, Any]
    round: int
    config: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""
    releases: Sequence[tuple[int, str]] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    spending: Mapping[str, Spending] = field(default_factory=dict)
    failure: str = ""

    @property
    def rounds(self) -> int:
        """Rounds that the run is to have."""
        return int(self.summary["rounds"])

    @property
    def finished(self) -> bool:
        """Whether all of them are committed."""
        return self.round >= self.rounds

    @property
    def history(self) -> Sequence[Mapping[str, Any]]:
        """Rows by round: loss and metrics."""
        return self.summary.get("history") or ()

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, in the order in which they were first evaluated."""
        return list(dict.fromkeys(name for row in self.history for name in row if name not in _NO_METRICS))

    @property
    def last_metrics(self) -> Mapping[str, float | None]:
        """The newest value of each metric."""
        return {name: row[name] for row in self.history for name in row if name not in _NO_METRICS}

    def counted(self, direction: str, layer: str, side: str = "measured") -> int | None:
        """A byte count of the summary; None where it was not counted.

        Args:
            direction: ``uplink`` or ``downlink``.
            layer: as ``message_bytes``.
            side: ``measured`` or ``predicted``.
        """
        counts = self.summary if side == "measured" else self.summary.get("predicted") or {}
        value = (counts.get(direction) or {}).get(layer)
        return None if value is None else int(value)
