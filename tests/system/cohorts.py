"""What runs that draw who takes part must end with, computed from their logs and from docs/protocol.md alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from gradwire.common.training.config import RunConfig
from gradwire.common.training.model import Model
from gradwire.common.training.record import RoundRecord, aggregate
from gradwire.server.coordinator import Coordinator
from gradwire.server.log.run_log import RunLog
from gradwire.server.rounds.events import Event, Pushed
from tests.system.harness import simulation


def permutation(seed: int, round_: int, workers: int) -> list[int]:
    """The ids of a run's workers in the order of a round's draw, as docs/protocol.md has it."""

    def place(worker: int) -> tuple[int, int]:
        text = f"{seed},{round_},{worker}".encode()
        digest = hashlib.blake2b(text, digest_size=16, person=b"gradwire-cohort").digest()
        return int.from_bytes(digest, "little"), worker

    return sorted(range(workers), key=place)


def cohorts(config: RunConfig, live: Collection[int] | None = None) -> list[tuple[int, ...]]:
    """The cohort of each round, where the same workers are live in all of them."""
    live = range(config.workers) if live is None else live
    orders = (permutation(config.seed, round_, config.workers) for round_ in range(config.rounds))
    return [tuple(sorted([w for w in order if w in live][: config.cohort])) for order in orders]


def records_of(folder: Path) -> list[RoundRecord]:
    """The rounds in a log."""
    with RunLog.open_read_only(folder) as log:
        return list(log.read(0, log.next_round))


def recomputed(
    config: RunConfig, folder: Path, lost: Mapping[int, Collection[int]] = MappingProxyType({})
) -> Model:
    """The model of a log, after every payload in it was computed again, by one encoder of all workers.

    Args:
        config: of the run.
        folder: of its log.
        lost: by round, workers that encoded a payload which was not counted.
    """
    encoder, model, codec = simulation(config)
    for record in records_of(folder):
        away = lost.get(record.round, ())
        sent = encoder.encode(model, record.round, {*record.workers, *away})
        payloads = dict(zip(sent.workers, sent.payloads, strict=True))
        assert tuple(payloads[w] for w in record.workers) == record.payloads, f"round {record.round}"
        if away:
            assert encoder.add_back(record.round, away)
        share = len(record.workers) / config.workers
        model.apply(aggregate(codec, config.seed, record), share)
    return model


class ProcessGate:
    """Holds back the pushes of one process for one round, and later ones behind them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, process: str, round_: int) -> None:
        self.held = asyncio.Event()
        self._open = asyncio.Event()
        handle = Coordinator.handle

        async def gated(run: Coordinator, event: Event) -> None:
            session = run.sessions.get(getattr(event, "session", -1))
            if isinstance(event, Pushed) and session and session.process == process and event.round == round_:
                self.held.set()
                await self._open.wait()
            await handle(run, event)

        monkeypatch.setattr(Coordinator, "handle", gated)

    def release(self) -> None:
        self._open.set()
