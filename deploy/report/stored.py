"""The run in a folder, from its log alone: no server has to run, and nothing in the folder is changed or locked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.errors import ConfigError, SpecError
from gradwire.common.privacy.statement import privacy_statement
from gradwire.common.training.best import parse_keep_best
from gradwire.common.training.local import parse_local
from gradwire.common.transport.traffic import Traffic
from gradwire.deploy.report.shown_run import ShownRun
from gradwire.server.counters import Counters
from gradwire.server.log.notes import DONE_PREFIX, TALLY
from gradwire.server.log.provenance import Resolved
from gradwire.server.log.run_log import RunLog
from gradwire.server.shutdown import all_checked
from gradwire.server.tcp.meter import TcpBytes
from gradwire.worker.privacy.spending import Spending, spending_of


def stored_run(folder: Path, name: str) -> ShownRun:
    """The run in a state directory.

    Args:
        folder: of the run.
        name: how the page calls it.

    Raises:
        ConfigError: the run has no model yet, or its log is of the first release and not continued since.
        LogError: the log or a privacy ledger is damaged, or a server writes it at this moment.
    """
    with RunLog.peek(folder) as log:
        resolved = log.resolved()
        if resolved is None:
            raise ConfigError(_nothing_to_show(log, folder))
        counters = Counters.restored(log.get(TALLY), log.metrics())
        codec = _codec(resolved)
        digests = {p: d for p in log.assignments() if (d := log.get(f"{DONE_PREFIX}{p}")) is not None}
        return ShownRun(
            name,
            _summary(log, counters, codec, digests),
            log.next_round,
            asdict(log.config),
            log.run_id.hex(),
            [(round_, release.version) for round_, release in log.releases()],
            digests,
            _spending(folder, log),
        )


def _nothing_to_show(log: RunLog, folder: Path) -> str:
    if log.has_initial:
        return f"the log in {folder} is of release 0.1: continue its run once with this release, then report"
    return f"the run in {folder} has no model yet: start its workers, and report when a round is done"


def _codec(resolved: Resolved) -> AnyCodec | None:
    """The run's codec; None where it is the user's own, or has a point set of the user's, which is not here."""
    try:
        return parse(resolved.codec_spec, resolved.dim)
    except (SpecError, ConfigError):
        return None


def _summary(
    log: RunLog, counters: Counters, codec: AnyCodec | None, digests: Mapping[str, str]
) -> dict[str, Any]:
    """What the server's own summary has, as far as the log knows it, in the same form."""
    config, resolved, layout = log.config, log.resolved(), log.layout()
    assert resolved is not None
    single = (
        config.report_metrics or codec is None or not codec.private
    )  # the log has no more than may be shown
    epsilon = codec.epsilon if codec is not None else math.inf
    digest = _digest(log, digests)
    return {
        "dim": resolved.dim,
        "rounds": config.rounds,
        "workers": config.workers,
        "min_workers": config.min_workers or None,
        "cohort": config.cohort or None,
        "processes": len(log.assignments()),
        "task": config.task,
        "codec": resolved.codec_spec,
        "optimizer": resolved.optimizer_spec,
        "local": parse_local(config.local).spec if config.local else None,
        "weighting": config.weighting,
        "partition": config.partition or None,
        "layout": {"fingerprint": layout.fingerprint.hex()} if layout is not None else None,
        "seed": config.seed,
        "downlink_mode": resolved.downlink_spec,
        "payload_bits_per_push": codec.nbits if codec is not None else None,
        "privacy": privacy_statement(epsilon, log.next_round, config.max_epsilon, config.delta),
        "uplink": _direction(counters.uplink, "measured") | _tcp(counters, "received"),
        "downlink": _direction(counters.downlink, "measured") | _tcp(counters, "sent"),
        "predicted": {
            "uplink": _direction(counters.uplink, "predicted"),
            "downlink": _direction(counters.downlink, "predicted"),
        },
        "predicted_equals_measured": counters.as_predicted,
        "digest": digest,
        "replicas_agree": all_checked(log) and set(digests.values()) <= {digest},
        "replicas_checked": len(digests),
        "loss": counters.loss,
        "best": _best(log),
        "seconds": counters.seconds,
        "first_round": counters.first_round,
        **{
            name: getattr(counters, name)
            for name in ("streams", "streams_checked", "reconnects", "resyncs", "late")
        },
        "tcp": {"complete": counters.tcp_total is not None and counters.tcp_total.complete},
        "timeline": counters.timeline(),
        "history": counters.rows(single=single),
    }


def _digest(log: RunLog, digests: Mapping[str, str]) -> str | None:
    """Of the model after the last round; None where it was not taken."""
    taken = log.digest_at(log.next_round - 1) if log.next_round else None
    if taken is not None:
        return f"{taken:016x}"
    return next(iter(digests.values()), None) if log.finished and len(set(digests.values())) == 1 else None


def _direction(traffic: Traffic, side: str) -> dict[str, Any]:
    return {
        layer: getattr(getattr(traffic, layer), side)
        for layer in ("payload_bits", "payload_bytes", "message_bytes")
    }


def _tcp(counters: Counters, field: str) -> dict[str, Any]:
    """TCP bytes of the rounds, and apart from them those of joining."""
    joining, total = counters.tcp_joining, counters.tcp_total
    if joining is None or total is None or total == TcpBytes():
        return {"tcp_bytes": None, "tcp_bytes_joining": None}
    before = getattr(joining, field)
    return {"tcp_bytes": getattr(total, field) - before, "tcp_bytes_joining": before}


def _best(log: RunLog) -> dict[str, Any] | None:
    round_ = log.best_round()
    if round_ is None or not log.config.keep_best:
        return None
    metric = parse_keep_best(log.config.keep_best).metric
    return {"metric": metric, "round": round_, "value": log.metrics()[round_]["metrics"].get(metric)}


def _spending(folder: Path, log: RunLog) -> dict[str, Spending]:
    """By process, of those whose state directories are in the run's: ``gradwire run`` puts them there."""
    found = {name: spending_of(folder / name, log.run_id) for name in sorted(log.assignments())}
    return {name: spending for name, spending in found.items() if spending is not None}
