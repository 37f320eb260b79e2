"""The model of a run as a function of its log: computed without a server, and without writing anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.downlinks import Downlink, State, resolve_downlink
from gradwire.common.errors import LogError
from gradwire.common.training.config import RunConfig
from gradwire.common.training.layout import Layout
from gradwire.common.training.local import control_damping, parse_local
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.training.record import RoundRecord, aggregate
from gradwire.server.log.provenance import Resolved
from gradwire.server.log.run_log import RunLog


@dataclass(frozen=True)
class Started:
    """What a run has from its initial model on.

    Attributes:
        codec: at the model's dimension.
        downlink: as configured, or as ``auto`` chose it.
        model: after the last round in the log.
        state: the downlink's, after the same round.
        layout: of the model; None where no worker stated one.
    """

    codec: AnyCodec
    downlink: Downlink[Any]
    model: Model
    state: State
    layout: Layout | None = None

    @property
    def resolved(self) -> Resolved:
        """What the run's configuration amounts to."""
        codec, optimizer = self.codec, self.model.optimizer
        return Resolved(codec.dim, codec.spec, codec.fingerprint, optimizer.spec, self.downlink.spec)


def replay(log: RunLog, stop: int | None = None) -> Started:
    """The run after its first ``stop`` rounds: the newest snapshot that is not beyond them, and the entries since.

    Args:
        log: of the run; nothing is written to it.
        stop: None for all rounds that it has.

    Raises:
        LogError: no model yet, rounds that are not there yet or no longer, damage, or another result than the digest
            that was stored.
    """
    stop = log.next_round if stop is None else stop
    layout = log.layout()
    round_, snapshot = _snapshot(log, stop)
    codec = codec_of(log.config, _dim(log, layout), layout.averaged if layout is not None else 0)
    model = model_of(log.config, np.zeros(codec.dim, np.float32), layout, codec)
    length = log.initial_bytes()  # all models of the run are as long as the initial one
    model.restore(snapshot[:length], round_)
    downlink = resolve_downlink(log.config, codec)
    started = Started(codec, downlink, model, downlink.initial_state(), layout)
    log.check_resolved(started.resolved)
    state = downlink.restore(snapshot[length:]) if round_ else started.state
    for record in log.read(round_, stop):
        mean = aggregate(codec, log.config.seed, record)
        model.apply(downlink.step(record, mean, state), share_of(log.config, record))
    recorded = log.digest_at(model.round - 1) if model.round else None
    if recorded is not None and recorded != model.digest:
        raise LogError(
            f"replaying the log gives another model at round {model.round}: this machine computes differently"
        )
    return replace(started, state=state)


def _snapshot(log: RunLog, stop: int) -> tuple[int, bytes]:
    """Where a replay begins: a snapshot, and the rounds that it covers."""
    newest = log.latest_snapshot()
    if newest is None:
        raise LogError(f"{log.where} holds a run that has no model yet: start its server and workers")
    if stop > log.next_round:
        raise LogError(f"round {stop} is not there yet: the run in {log.where} has {log.next_round} rounds")
    if newest[0] <= stop:
        return newest
    if stop and log.first_kept():
        raise LogError(
            f"the model after round {stop} can no longer be computed: rounds before {newest[0]} were deleted from "
            f"the log; name that round or a later one, and run with --keep-log to keep all"
        )
    return 0, log.initial()


def _dim(log: RunLog, layout: Layout | None) -> int:
    """Coordinates of the run's model, from the length of the initial one where no layout says it."""
    if layout is not None:
        return layout.dim
    local = parse_local(log.config.local) if log.config.local else None
    state = parse_optimizer(log.config.optimizer).initial_state(np.zeros(1, np.float32))
    control = local is not None and local.scaffold
    return log.initial_bytes() // (4 * (1 + len(state) + control))


def model_of(config: RunConfig, params: NDArray[np.float32], layout: Layout | None, codec: AnyCodec) -> Model:
    """A run's model at round 0.

    Args:
        config: of the run.
        params: the initial parameters [dim].
        layout: of the model; None where no worker stated one.
        codec: the run's, at dim coordinates.

    Raises:
        SpecError: scaffold with a codec whose variance has no bound.
    """
    local = parse_local(config.local) if config.local else None
    return Model(
        params,
        parse_optimizer(config.optimizer),
        averaged=layout.averaged if layout is not None else 0,
        control_rate=local.control_rate if local is not None else None,
        control_damping=control_damping(local, codec, feedback=config.feedback == "error"),
    )


def codec_of(config: RunConfig, dim: int, averaged: int = 0) -> AnyCodec:
    """A run's codec for gradients of ``dim`` coordinates, the last ``averaged`` of them running statistics."""
    return parse(config.codec, dim, averaged=averaged)


def share_of(config: RunConfig, record: RoundRecord) -> float:
    """The share of the run's workers that a round counts."""
    return len(record.workers) / config.workers
