"""Counters of a run: traffic in both directions, losses, metrics, streams.

All of it is kept in the log, round by round in the transaction that appends the round, so a summary is of the whole
run, however many servers it took.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from gradwire.common.transport.traffic import Size, Traffic
from gradwire.server.history import Point, Reached
from gradwire.server.tcp.meter import TcpBytes

NAMES = ("reconnects", "resyncs", "late", "streams", "streams_checked", "worker_mismatches", "first_round")
TIMES = 500  # rows of the timeline


@dataclass
class Counters:
    """Counts since the run began.

    Attributes:
        uplink: pushes received.
        downlink: entries sent, once for every process that they were sent to.
        history: points by round.
        reconnects: streams of processes that had joined before.
        resyncs: replicas that differed and took the server's model.
        late: pushes that came after their round was committed.
        streams: that took part in rounds.
        streams_checked: of those, the ones whose worker has reported its own counts; one that is killed cannot.
        worker_mismatches: streams whose worker counted other bytes than the server.
        first_round: where counting began.
        tcp_joining: TCP bytes of earlier servers before their first round, and ``tcp_total`` all of theirs; None where
            one could not count them.
    """

    uplink: Traffic = field(default_factory=Traffic)
    downlink: Traffic = field(default_factory=Traffic)
    history: dict[int, Point] = field(default_factory=dict)
    reconnects: int = 0
    resyncs: int = 0
    late: int = 0
    streams: int = 0
    streams_checked: int = 0
    worker_mismatches: int = 0
    first_round: int = 0
    tcp_joining: TcpBytes | None = field(default_factory=TcpBytes)
    tcp_total: TcpBytes | None = field(default_factory=TcpBytes)
    _restored: bool = False
    _seconds_before: float = 0.0
    _started: float | None = None
    _stopped: float | None = None
    _opened_at: tuple[float, int] | None = None  # seconds and uplink bytes when the open round began

    # ---- the log's copy ------------------------------------------------------------------------------------

    @classmethod
    def restored(cls, kept: str | None, history: Mapping[int, Mapping[str, Any]]) -> Self:
        """The counters of a run that goes on: what ``to_json`` wrote last, and the notes of each round."""
        counters = cls(history={r: Point.from_notes(r, notes) for r, notes in history.items()})
        if kept is None:
            return counters
        values = json.loads(kept)
        for name in NAMES:
            setattr(counters, name, values[name])
        counters.uplink, counters.downlink = (_traffic(values[name]) for name in ("uplink", "downlink"))
        counters.tcp_joining, counters.tcp_total = (
            _tcp(values[name]) for name in ("tcp_joining", "tcp_total")
        )
        counters._seconds_before, counters._restored = values["seconds"], True
        return counters

    def to_json(self, tcp_joining: TcpBytes | None, tcp_total: TcpBytes | None) -> str:
        """What the log keeps, the history apart; the TCP counts are those of all servers so far."""
        counts = {name: getattr(self, name) for name in NAMES}
        traffic = {"uplink": self.uplink, "downlink": self.downlink}
        tcp = {"tcp_joining": tcp_joining, "tcp_total": tcp_total}
        return json.dumps({**counts, **traffic, **tcp, "seconds": self.seconds}, default=_fields)

    # ---- counting ------------------------------------------------------------------------------------------

    def start(self, round_: int) -> None:
        """The first round of this server opened."""
        if self._started is None:
            self._started = time.monotonic()
            self._opened_at = (self.seconds, self.uplink.message_bytes.measured)
            if not self._restored:
                self.first_round = round_

    def round_committed(self, round_: int, losses: Sequence[float], weights: Sequence[int] = ()) -> Point:
        """A round is committed; keeps the mean of its training losses.

        Args:
            round_: which.
            losses: of its workers, NaN where none was reported.
            weights: of the workers in the round's mean; none where they weigh alike.
        """
        pairs = zip(losses, weights or [1] * len(losses), strict=True)
        reported = [(loss, weight) for loss, weight in pairs if not math.isnan(loss)]
        point = self.point(round_)
        total = sum(weight for _, weight in reported)
        point.loss = sum(loss * weight for loss, weight in reported) / total if reported else None
        self._stopped = time.monotonic()
        if self._opened_at is not None:
            point.reached = Reached(*self._opened_at, self.downlink.message_bytes.measured)
            self._opened_at = (self.seconds, self.uplink.message_bytes.measured)
        return point

    def point(self, round_: int) -> Point:
        """The history's entry for a round."""
        return self.history.setdefault(round_, Point(round_))

    # ---- results -------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """From the first round's opening to the last commit, without the time that no server ran."""
        if self._started is None or self._stopped is None:
            return self._seconds_before
        return self._seconds_before + self._stopped - self._started

    @property
    def open_since(self) -> float | None:
        """When the open round began, on the monotonic clock; None before this server's first."""
        return self._started if self._stopped is None else self._stopped

    @property
    def loss(self) -> float | None:
        """The last mean training loss that was reported."""
        losses = [p.loss for _, p in sorted(self.history.items()) if p.loss is not None]
        return losses[-1] if losses else None

    def timeline(self, points: int = TIMES) -> dict[str, list[float]]:
        """What the run had cost by round: seconds, uplink and downlink message bytes, as columns.

        A row has the costs until every process had the parameters of that round; the last one is the end.

        Args:
            points: rows at most, besides the last one.
        """
        reached = [(r, p.reached) for r, p in sorted(self.history.items()) if p.reached is not None]
        rows = [(r, *at) for r, at in reached[:: max(1, math.ceil(len(reached) / points))]]
        if reached:
            up, down = self.uplink.message_bytes.measured, self.downlink.message_bytes.measured
            rows.append((reached[-1][0] + 1, self.seconds, up, down))
        columns = zip(*rows, strict=True) if rows else ((),) * 4
        return dict(zip(("round", *Reached._fields), map(list, columns), strict=True))

    def evaluated(self) -> list[Point]:
        """The rounds in which anything was evaluated, in order."""
        return [point for _, point in sorted(self.history.items()) if point.evaluated]

    def rows(self, *, single: bool = True) -> list[dict[str, Any]]:
        """The history as JSON rows, in order of rounds.

        Args:
            single: whether values of single sites may be shown.
        """
        return [point.row(single=single) for _, point in sorted(self.history.items())]

    @property
    def as_predicted(self) -> bool:
        """Whether every byte count was what it had to be, at both ends of the wire."""
        return self.uplink.as_predicted and self.downlink.as_predicted and self.worker_mismatches == 0


def _fields(counts: Any) -> dict[str, Any]:
    """The fields of a dataclass; ``asdict`` copies them deeply, which takes longer than the round of a small run."""
    return {field.name: getattr(counts, field.name) for field in fields(counts)}


def _traffic(kept: Mapping[str, Any]) -> Traffic:
    sizes = {name: Size(**kept[name]) for name in ("payload_bits", "payload_bytes", "message_bytes")}
    return Traffic(messages=kept["messages"], **sizes)


def _tcp(kept: Mapping[str, Any] | None) -> TcpBytes | None:
    return None if kept is None else TcpBytes(**kept)
