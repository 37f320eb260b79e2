"""A run as one event: its settings, where it stands, and its history thinned to so many points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gradwire.common.training.config import RunConfig
from gradwire.server.counters import Counters

POINTS = 200  # of the history, unless asked for fewer
MOST_PROCESSES = 2000  # that are named
SETTINGS = ("task", "codec", "optimizer", "local", "downlink", "workers", "rounds", "seed", "weighting")
SEARCHED = 1000  # earlier evaluations that are looked for before there is said to be none


def describe(
    config: RunConfig,
    run_id: bytes,
    counters: Counters,
    round_: int,
    *,
    epsilon: float | None = None,
    live: Mapping[str, int] | None = None,
    points: int = POINTS,
    single: bool = True,
) -> dict[str, Any]:
    """The state of a run as the first event of those who watch it.

    Its cost does not grow with the rounds.

    Args:
        config: of the run.
        run_id: of the run.
        counters: of the run.
        round_: committed rounds.
        epsilon: of one push; None where payloads are not private.
        live: hosted workers of each connected process.
        points: of the history, at most.
        single: values of single sites may be shown.
    """
    loss = counters.history[round_ - 1].loss if round_ - 1 in counters.history else None
    return {
        "event": "state",
        "run_id": run_id.hex(),
        **{name: getattr(config, name) for name in SETTINGS},
        "least": config.min_workers,
        "max_epsilon": config.max_epsilon,
        "delta": config.delta,
        "epsilon": epsilon,
        "round": round_,
        "finished": round_ >= config.rounds,
        "loss": loss,
        **_evaluated(counters, config, round_, single=single),
        "seconds": counters.seconds,
        "uplink_bytes": counters.uplink.message_bytes.measured,
        "downlink_bytes": counters.downlink.message_bytes.measured,
        "resyncs": counters.resyncs,
        "reconnects": counters.reconnects,
        "late": counters.late,
        "live": _named(live or {}),
        "history": history(counters, config, round_, points, single=single),
    }


def history(
    counters: Counters, config: RunConfig, round_: int, points: int = POINTS, *, single: bool = True
) -> list[dict[str, Any]]:
    """At most so many rows of the history: losses at even distances, and the evaluations next to them."""
    if points < 1 or not counters.history:
        return []
    apart = math.ceil((round_ + 1) / max(1, points // 2))
    wanted = set(range(0, round_ + 1, apart)) | {round_}
    if config.evaluate_every:
        every = config.evaluate_every * max(1, math.ceil(apart / config.evaluate_every))
        wanted |= set(range(0, round_ + 1, every))
    found = (counters.history[r] for r in sorted(wanted)[-points:] if r in counters.history)
    return [point.row(single=single) for point in found]


def thinned(rows: list[dict[str, Any]], points: int = POINTS) -> list[dict[str, Any]]:
    """At most so many rows of a history, the last one among them."""
    apart = max(1, math.ceil(len(rows) / points))
    return rows[len(rows) - 1 :: -apart][::-1] if rows else []


def _evaluated(counters: Counters, config: RunConfig, round_: int, *, single: bool) -> dict[str, Any]:
    """The newest evaluation, with what each site measured where several did."""
    every = config.evaluate_every or config.rounds
    newest = [round_, *(round_ - round_ % every - every * back for back in range(SEARCHED))]
    for point in (counters.history[r] for r in newest if r in counters.history):
        if point.evaluated:
            found, row = point.measures(single=single), point.row(single=single)
            return {**found.to_json(), "metrics_round": point.round, "sites": row.get("sites", {})}
    return {"metrics": {}, "metrics_round": 0}


def _named(live: Mapping[str, int]) -> dict[str, int]:
    """The processes by name; beyond a limit, the rest together."""
    if len(live) <= MOST_PROCESSES:
        return dict(live)
    named = dict(list(live.items())[:MOST_PROCESSES])
    others = len(live) - MOST_PROCESSES
    return {**named, f"and {others:,} more": sum(live.values()) - sum(named.values())}
