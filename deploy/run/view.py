"""The state of a run in progress: the server's events, folded into one object that displays draw from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gradwire.common.privacy.statement import spent_in_words
from gradwire.server.measures import by_name
from gradwire.server.pace import Pace


@dataclass
class Flow:
    """Traffic in one direction.

    Attributes:
        payload_bits: in the latest round, per worker (uplink) or per process (downlink).
        message_bytes: of all processes since the run began.
    """

    payload_bits: float = 0.0
    message_bytes: int = 0


@dataclass
class View:
    """A run as its events describe it. A display may read it from another thread: values are replaced, not mutated.

    Attributes:
        rounds: of the run.
        expected: logical workers of the run.
        least: connected ones with which it goes on; 0 for all.
        max_epsilon: the budget that workers enforce, 0 for none.
        delta: of that budget.
        epsilon: of one push; None where payloads are not private.
        round: committed rounds.
        metrics: means over the sites, where several measure.
        ranges: the same in words, with the smallest and the largest value of the sites.
        measured_at: the round of the metrics.
        sites: what each site measured, where several do: its metrics by name.
        pending: the server's event that says who is waited for; None while the round is young.
        live: hosted workers of each connected process.
    """

    rounds: int = 0
    expected: int = 0
    max_epsilon: float = 0.0
    delta: float = 0.0
    epsilon: float | None = None
    run_id: str = ""
    round: int = 0
    loss: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    ranges: dict[str, str] = field(default_factory=dict)
    measured_at: int = 0
    sites: Mapping[str, Any] = field(default_factory=dict)
    pending: Mapping[str, Any] | None = None
    live: dict[str, int] = field(default_factory=dict)
    resyncs: int = 0
    uplink: Flow = field(default_factory=Flow)
    downlink: Flow = field(default_factory=Flow)
    least: int = 0
    _pace: Pace = field(default_factory=Pace, compare=False)

    def apply(self, event: Mapping[str, Any]) -> None:
        """Fold one event; unknown kinds change nothing."""
        folds = {
            "state": self._state,
            "listening": self._listening,
            "joined": self._joined,
            "left": self._left,
            "round": self._round,
            "metrics": self._metrics,
            "pending": self._pending,
            "resync": self._resync,
        }
        if event["event"] in folds:
            folds[event["event"]](event)

    @property
    def connected(self) -> int:
        """Logical workers that are connected."""
        return sum(self.live.values())

    @property
    def expected_range(self) -> str:
        """How many workers may be connected: MAX, or MIN..MAX."""
        return f"{self.least}..{self.expected}" if self.least else str(self.expected)

    @property
    def rate(self) -> float | None:
        """Rounds per second over the last rounds; None before the second one."""
        return self._pace.rate

    @property
    def remaining(self) -> float | None:
        """Seconds until the last round at the present rate."""
        return self._pace.remaining(self.rounds)

    @property
    def privacy(self) -> str | None:
        """What each worker has spent so far, in words; None where payloads are not private."""
        if self.epsilon is None:
            return None
        return spent_in_words(self.epsilon, self.round, self.max_epsilon, self.delta)

    def _state(self, event: Mapping[str, Any]) -> None:
        """The whole of it: what a server says first to those who watch."""
        self.run_id, self.rounds, self.expected = event["run_id"], event["rounds"], event["workers"]
        self.least = int(event.get("least", 0))
        self.max_epsilon, self.delta, self.epsilon = event["max_epsilon"], event["delta"], event["epsilon"]
        self.round, self.loss, self.resyncs = event["round"], event["loss"], event["resyncs"]
        self.live, self.pending = dict(event["live"]), event.get("pending")
        self.uplink.message_bytes, self.downlink.message_bytes = (
            event["uplink_bytes"],
            event["downlink_bytes"],
        )
        if event["metrics"]:
            self._metrics({**event, "round": event["metrics_round"]})
        if self.round:
            self._pace.add(self.round, event["seconds"])

    def _pending(self, event: Mapping[str, Any]) -> None:
        self.pending = event

    def _listening(self, event: Mapping[str, Any]) -> None:
        self.run_id = str(event.get("run_id", ""))
        self.round = int(event.get("round", 0))
        self.live = {}
        self.pending = None

    def _joined(self, event: Mapping[str, Any]) -> None:
        workers = event["workers"]  # their number alone where they are very many
        hosted = workers if isinstance(workers, int) else len(workers)
        self.live = {**self.live, event["process"]: hosted}
        self.expected, self.least = int(event["expected"]), int(event.get("least", 0))

    def _left(self, event: Mapping[str, Any]) -> None:
        self.live = {name: count for name, count in self.live.items() if name != event["process"]}

    def _resync(self, event: Mapping[str, Any]) -> None:
        self.resyncs += 1

    def _metrics(self, event: Mapping[str, Any]) -> None:
        if int(event["round"]) >= self.measured_at:  # not a site that reports an earlier model late
            self.metrics, self.measured_at = dict(event["metrics"]), int(event["round"])
            self.ranges = by_name(event)
            self.sites = event.get("sites") or {}

    def _round(self, event: Mapping[str, Any]) -> None:
        self.round = int(event["round"]) + 1
        self.rounds = int(event.get("rounds", self.rounds))
        self.loss = event.get("loss")
        self.epsilon = event.get("epsilon")
        self.uplink.payload_bits = event["uplink_bits"] / max(1, event["workers"])
        self.downlink.payload_bits = event["downlink_bits"] / max(1, len(self.live))
        self.uplink.message_bytes = event["uplink_bytes"]
        self.downlink.message_bytes = event["downlink_bytes"]
        self.pending = None
        self._pace.add(self.round, event["seconds"])
