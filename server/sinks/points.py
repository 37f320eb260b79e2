"""The numbers of a run as points of curves: a name, a step and a value."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gradwire.common.privacy.accounting import advanced, pure


class Point(NamedTuple):
    """One point of a curve.

    Attributes:
        step: a number of rounds: the value is that of the model after so many, or of the round that began there.
    """

    name: str
    step: int
    value: float


@dataclass(frozen=True)
class RunSoFar:
    """What a sink knows of the run whose points it takes.

    Attributes:
        run_id: in hexadecimal digits.
        delta: at which its privacy is accounted for, 0 for none.
        history: by round, what the log has: mean loss, metrics and those of sites.
    """

    run_id: str
    delta: float = 0.0
    history: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def points(self) -> Iterator[Point]:
        """The points of rounds that are in the log: losses and metrics; the rest is not there."""
        for round_, notes in sorted(self.history.items()):
            yield from _point("loss", round_, notes.get("loss"))
            yield from _metrics({**notes, "round": round_})


def points_of(event: Mapping[str, Any], delta: float = 0.0) -> Iterator[Point]:
    """The points that an event has; names are those that TensorBoard and MLflow take, values are finite."""
    if event["event"] == "round":
        yield from _of_round(event, delta)
    elif event["event"] == "metrics":
        yield from _metrics(event)


def _of_round(event: Mapping[str, Any], delta: float) -> Iterator[Point]:
    step = event["round"]
    values = {
        "loss": event["loss"],
        "workers": event["workers"],
        "seconds": event["seconds"],
        "bytes/up": event["uplink_bytes"],
        "bytes/down": event["downlink_bytes"],
        "payload_bits/up": event["uplink_bits"],
        "payload_bits/down": event["downlink_bits"],
    }
    if (epsilon := event.get("epsilon")) is not None:
        spent = pure(epsilon, step + 1)
        values["epsilon"] = min(spent, advanced(epsilon, step + 1, delta)) if delta else spent
    for name, value in values.items():
        yield from _point(name, step, value)


def _metrics(event: Mapping[str, Any]) -> Iterator[Point]:
    step, sites = event["round"], event.get("sites", {})
    for name, value in event["metrics"].items():
        yield from _point(safe(name), step, value)
    for site, found in sites.items():
        for name, value in found.get("metrics", {}).items():
            yield from _point(f"{safe(name)}/{safe(site)}", found.get("round", step), value)


def _point(name: str, step: int, value: float | None) -> Iterator[Point]:
    if value is not None and math.isfinite(value):
        yield Point(name, step, float(value))


def safe(name: str) -> str:
    """A part of a name: letters, digits, dashes, dots and underscores; one that was changed stays distinct.

    >>> safe("accuracy"), safe("clinic north")
    ('accuracy', 'clinic_north-26e5')
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    if plain == name and name.strip("."):
        return name
    return f"{plain}-{zlib.crc32(name.encode()) & 0xFFFF:04x}"
