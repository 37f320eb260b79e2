"""What a run has cost and achieved so far: traffic in both directions, losses, metrics."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from gradwire.common.traffic import Traffic


@dataclass
class Point:
    """One round of the history: mean training loss at its start, and what was evaluated there."""

    round: int
    loss: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass
class Tally:
    """Counts since this server process started; the log itself survives restarts, counters of lost processes do not.

    Attributes:
        uplink: pushes received.
        downlink: entries sent, once for every process that they were sent to.
        history: points by round.
        reconnects: streams of processes that had joined before.
        resyncs: replicas that differed and took the server's model.
        late: pushes that came after their round was committed.
        worker_mismatches: streams whose worker counted other bytes than the server did.
        first_round: where this server process began.
    """

    uplink: Traffic = field(default_factory=Traffic)
    downlink: Traffic = field(default_factory=Traffic)
    history: dict[int, Point] = field(default_factory=dict)
    reconnects: int = 0
    resyncs: int = 0
    late: int = 0
    worker_mismatches: int = 0
    first_round: int = 0
    _started: float | None = None
    _stopped: float | None = None

    def start(self, round_: int) -> None:
        """The first round of this process opened."""
        if self._started is None:
            self._started = time.monotonic()
            self.first_round = round_

    def committed(self, round_: int, losses: list[float]) -> None:
        """A round was committed; keep its mean loss (None where no worker reports one)."""
        finite = [loss for loss in losses if not math.isnan(loss)]
        self.point(round_).loss = sum(finite) / len(finite) if finite else None
        self._stopped = time.monotonic()

    def point(self, round_: int) -> Point:
        """The history's entry for a round."""
        return self.history.setdefault(round_, Point(round_))

    @property
    def seconds(self) -> float:
        """From the first round's opening to the last commit."""
        if self._started is None or self._stopped is None:
            return 0.0
        return self._stopped - self._started

    @property
    def loss(self) -> float | None:
        """The last mean training loss that was reported."""
        losses = [p.loss for _, p in sorted(self.history.items()) if p.loss is not None]
        return losses[-1] if losses else None

    @property
    def metrics(self) -> dict[str, float]:
        """What was evaluated last."""
        evaluated = [p.metrics for _, p in sorted(self.history.items()) if p.metrics]
        return evaluated[-1] if evaluated else {}

    def rows(self) -> list[dict[str, Any]]:
        """The history as JSON rows, in order of rounds."""
        return [{"round": p.round, "loss": p.loss, **p.metrics} for _, p in sorted(self.history.items())]

    @property
    def as_predicted(self) -> bool:
        """Whether every byte count was what it had to be, at both ends of the wire."""
        return self.uplink.as_predicted and self.downlink.as_predicted and self.worker_mismatches == 0

    def layers(self, traffic: Traffic) -> tuple[dict[str, int], dict[str, int]]:
        """(measured, predicted) counts of one direction by layer."""
        counts = {name: layer for name, layer in asdict(traffic).items() if isinstance(layer, dict)}
        measured = {name: layer["measured"] for name, layer in counts.items()}
        return measured, {name: layer["predicted"] for name, layer in counts.items()}
