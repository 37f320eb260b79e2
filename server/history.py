"""The rounds of a run as its history shows them: training loss, and what was evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from gradwire.server.measures import Measures, SiteMetrics


class Reached(NamedTuple):
    """What a run had cost when every process had the parameters of a round.

    Attributes:
        seconds: since the first round opened, without the time that no server ran.
        uplink_bytes: message bytes received until then.
        downlink_bytes: message bytes sent.
    """

    seconds: float
    uplink_bytes: int
    downlink_bytes: int


@dataclass
class Point:
    """One round of the history: mean training loss at its start, and what was evaluated there.

    ``single`` says whether values of single sites may be kept and shown; else only the mean may.

    Attributes:
        loss: None where none was reported.
        metrics: what one process measured for all; or the mean of sites of which the log kept the names alone.
        sites: what each process measured on data of its own, by the name of the process.
        reached: at what cost; None where it was not counted. Two runs with equal histories differ in their seconds.
    """

    round: int
    loss: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    sites: dict[str, SiteMetrics] = field(default_factory=dict)
    reached: Reached | None = field(default=None, compare=False)

    @property
    def evaluated(self) -> bool:
        """Whether anything was evaluated."""
        return bool(self.metrics or self.sites)

    def measures(self, *, single: bool = True) -> Measures:
        """What was evaluated, over all sites."""
        if not self.metrics:
            found = Measures.over(self.sites.values())
            return found if single else found.without_single_sites()
        return Measures(self.metrics, sites=len(self.sites)) if self.sites else Measures.common(self.metrics)

    def to_notes(self, *, single: bool = True) -> dict[str, Any]:
        """What the log keeps of it; of single sites that may not be kept, the names."""
        notes: dict[str, Any] = {"loss": self.loss, "metrics": dict(self.measures().mean)}
        if self.sites:
            notes["sites"] = {name: site.to_json() if single else {} for name, site in self.sites.items()}
        if self.reached is not None:
            notes["reached"] = list(self.reached)
        return notes

    @classmethod
    def from_notes(cls, round_: int, notes: Mapping[str, Any]) -> Self:
        """What ``to_notes`` wrote, in this or an earlier release."""
        sites = {name: SiteMetrics.from_json(kept) for name, kept in notes.get("sites", {}).items()}
        whole = bool(sites) and all(site.metrics for site in sites.values())
        reached = Reached(*notes["reached"]) if "reached" in notes else None
        return cls(round_, notes["loss"], {} if whole else dict(notes["metrics"]), sites, reached)

    def row(self, *, single: bool = True) -> dict[str, Any]:
        """The same as JSON: metrics beside the loss; of several sites, their range and their values too."""
        found = self.measures(single=single)
        row: dict[str, Any] = {"round": self.round, "loss": self.loss, **found.mean}
        row["round"] = self.round  # whatever a task calls its metrics
        if len(self.sites) < 2 or not single or self.metrics:
            return row
        row |= {"metrics_min": dict(found.least), "metrics_max": dict(found.most)}
        return row | {"sites": {name: site.to_json() for name, site in self.sites.items()}}
