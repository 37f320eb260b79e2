"""What a finished run reports."""

from __future__ import annotations

import math
from typing import Any

from gradwire.common.errors import ByteMismatchError, DivergenceError, GradwireError, NotFiniteError
from gradwire.common.privacy.statement import privacy_statement
from gradwire.common.training.layout import Layout, Role
from gradwire.common.training.local import parse_local
from gradwire.common.transport.traffic import Traffic
from gradwire.server.coordinator import Coordinator
from gradwire.server.interfaces import InterfaceCounters
from gradwire.server.tcp.meter import TcpBytes


def summarise(run: Coordinator) -> dict[str, Any]:
    """The summary as JSON: every byte count in both directions, the outcome, and whether the checks held.

    Replicas agree when none of those checked differs, and at least as many were checked as rounds go on with.
    """
    config, counters = run.config, run.counters
    codec, model = run.fold.codec, run.fold.model
    ended, unchecked = run.shutdown.digests(), len(run.shutdown.unchecked())
    differ = sum(digest != model.digest for digest in ended.values())
    rounds_here = config.rounds - counters.first_round
    summary: dict[str, Any] = {
        "dim": codec.dim,
        "rounds": config.rounds,
        "workers": config.workers,
        "min_workers": config.min_workers or None,
        "cohort": config.cohort or None,
        "processes": len(run.log.assignments()),
        "task": config.task,
        "codec": codec.spec,
        "optimizer": model.optimizer.spec,
        "local": parse_local(config.local).spec if config.local else None,
        "weighting": config.weighting,
        "partition": config.partition or None,
        "layout": _layout(run.fold.started.layout or Layout.flat(codec.dim)),
        "seed": config.seed,
        "downlink_mode": config.downlink,
        "payload_bits_per_push": codec.nbits,
        # An upper bound: at most one push per worker and round, and none in rounds that do not draw it. A worker's own
        # ledger also counts those that did not arrive.
        "privacy": privacy_statement(codec.epsilon, config.rounds, config.max_epsilon, config.delta),
        "uplink": _direction(counters.uplink, "measured"),
        "downlink": _direction(counters.downlink, "measured"),
        "predicted": {
            "uplink": _direction(counters.uplink, "predicted"),
            "downlink": _direction(counters.downlink, "predicted"),
        },
        "predicted_equals_measured": counters.as_predicted,
        "digest": f"{model.digest:016x}",
        "replicas_agree": not differ and run.shutdown.checked() >= config.least,
        "replicas_checked": len(ended),
        "replicas_differ": differ,
        "workers_unchecked": unchecked,
        "loss": counters.loss,
        **run.evaluations.summary,
        "best": run.best.summary,
        "seconds": counters.seconds,
        "rounds_per_second": rounds_here / counters.seconds if counters.seconds else 0.0,
        "first_round": counters.first_round,
        "streams": counters.streams,
        "streams_checked": counters.streams_checked,
        "reconnects": counters.reconnects,
        # Sites whose own training loops were started more than once, and how often: not bit-reproducible.
        "restarted": run.own_loops.restarted(),
        "resyncs": counters.resyncs,
        "late": counters.late,
        "timeline": counters.timeline(),
        "history": counters.rows(single=run.evaluations.shows_single_sites),
    }
    _add_tcp(summary, *run.tcp.read())
    return summary


def _layout(layout: Layout) -> dict[str, Any]:
    """How many arrays and numbers have each role; ``gradwire model info`` lists them."""
    roles = {
        role.value: {"arrays": len(sizes), "numbers": sum(sizes)}
        for role in Role
        if (sizes := [array.size for array in layout.arrays if array.role is role])
    }
    return {"fingerprint": layout.fingerprint.hex(), **roles}


def _direction(traffic: Traffic, side: str) -> dict[str, Any]:
    layers = {"payload_bits": traffic.payload_bits, "payload_bytes": traffic.payload_bytes}
    layers["message_bytes"] = traffic.message_bytes
    return {name: getattr(layer, side) for name, layer in layers.items()}


def _add_tcp(summary: dict[str, Any], before: TcpBytes | None, after: TcpBytes | None) -> None:
    """Add the TCP bytes of the rounds, and apart from them those of joining; the server receives the uplink.

    ``before`` are the totals when rounds opened, ``after`` those when the last worker was done; None where the kernel
    does not count.
    """
    counted = before is not None and after is not None
    for direction, field in (("uplink", "received"), ("downlink", "sent")):
        first, last = (getattr(t, field) if t is not None else 0 for t in (before, after))
        summary[direction]["tcp_bytes"] = last - first if counted else None
        summary[direction]["tcp_bytes_joining"] = first if counted else None
    summary["tcp"] = {
        "retransmitted": after.retransmitted if after is not None else None,
        "connections": after.connections if after is not None else None,
        "complete": after.complete if after is not None else False,
    }


def add_interfaces(
    summary: dict[str, Any],
    start: InterfaceCounters | None,
    opened: InterfaceCounters | None,
    end: InterfaceCounters | None,
) -> None:
    """Add bytes and packets of this host's interfaces, of the rounds and apart from them those of joining.

    They count all traffic of the host, not this run's alone.

    Args:
        summary: what ``summarise`` returned.
        start: counters before the server listened.
        opened: when the first round opened.
        end: now.
    """
    for direction, side in (("uplink", "received"), ("downlink", "sent")):
        for unit in ("bytes", "packets"):
            first, second, last = (
                getattr(reading, f"{side}_{unit}", None) for reading in (start, opened, end)
            )
            summary[direction][f"interface_{unit}"] = _difference(second, last)
            summary[direction][f"interface_{unit}_joining"] = _difference(first, second)


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def failed_check(summary: dict[str, Any]) -> GradwireError | None:
    """The error of a run whose bytes, replicas or numbers are not what they must be; None if all are."""
    if not summary["predicted_equals_measured"]:
        predicted = summary["predicted"]
        return ByteMismatchError(
            f"the run's bytes are not those predicted: uplink {_messages(summary)}, expected {_messages(predicted)}; "
            "compression or counting failed, do not trust these numbers"
        )
    if summary["replicas_differ"]:
        return DivergenceError(
            "a replica ended with other parameters than the server: the machines compute differently"
        )
    if not summary["replicas_agree"]:
        return DivergenceError(
            f"{summary['replicas_checked']} of {summary['processes']} replicas were checked: those of "
            f"{summary['workers_unchecked']} workers are missing, start them and the server again to have them checked"
        )
    numbers = {"loss": summary["loss"], **summary["metrics"]}
    wild = [name for name, value in numbers.items() if value is not None and not math.isfinite(value)]
    if wild:
        return NotFiniteError(
            f"the run ended with a {wild[0]} that is not a finite number{_at(summary, wild[0])}: "
            "lower the learning rate"
        )
    return None


def _at(summary: dict[str, Any], metric: str) -> str:
    """The first of several sites whose last metric of this name is not finite."""
    sites = summary.get("sites", {})
    wild = [name for name, site in sites.items() if not math.isfinite(site["metrics"].get(metric) or 0.0)]
    return f" at {wild[0]}" if wild and len(sites) > 1 else ""


def _messages(summary: dict[str, Any]) -> str:
    up, down = summary["uplink"]["message_bytes"], summary["downlink"]["message_bytes"]
    return f"{up} message bytes, downlink {down}"
