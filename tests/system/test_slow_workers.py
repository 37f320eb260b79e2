"""A worker that computes for longer than a round lasts skips the rounds that were committed meanwhile."""

import asyncio
import threading
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.training.config import RunConfig
from gradwire.common.training.model import Model
from gradwire.proto import wire_pb2
from gradwire.worker.encoder import EncodedRound, Encoder
from gradwire.worker.stream import Stream
from tests.system.harness import TIMEOUT, Run, run_script
from tests.system.raw_worker import RawWorker

CONFIG = RunConfig(
    task="least_squares(samples=32, dim=12)",
    codec="cross_polytope(repeats=3)",
    workers=2,
    rounds=14,
    quorum=1,
    deadline=0.05,
)


def computed_by_a_slow_worker(
    config: RunConfig, folder: Path, held_until: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[int], dict[str, Any]]:
    """Rounds that worker 1 computed, whose first gradient takes until that round is committed; a summary."""
    encode, rounds, passed = Encoder.encode, [], threading.Event()

    def slow(self: Encoder, model: Model, round_: int, workers: Collection[int]) -> EncodedRound:
        if self.workers == (1,):
            rounds.append(round_)
            assert passed.wait(TIMEOUT)
        return encode(self, model, round_, workers)

    monkeypatch.setattr(Encoder, "encode", slow)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("slow", (1,)))
        await run.joined("slow")  # so its first round is round 0
        group.create_task(run.work("fast", (0,)))
        await run.committed(held_until)
        passed.set()

    summary, _ = run_script(config, folder, script)
    return rounds, summary


def test_only_the_newest_round_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send, sent = Stream._send, []

    async def recorded(self: Stream, message: wire_pb2.FromWorker) -> None:
        if self._join.process == "slow" and message.HasField("push"):
            sent.append(message.push.round)
        await send(self, message)

    monkeypatch.setattr(Stream, "_send", recorded)
    rounds, summary = computed_by_a_slow_worker(CONFIG, tmp_path, 10, monkeypatch)
    assert rounds[0] == 0 and min(rounds[1:], default=10) >= 10, rounds
    assert 0 not in sent  # its round was committed before it was computed
    assert summary["replicas_agree"] and summary["replicas_checked"] == 2


def test_nothing_is_computed_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, summary = computed_by_a_slow_worker(CONFIG, tmp_path, CONFIG.rounds - 1, monkeypatch)
    assert rounds == [0] and summary["replicas_checked"] == 2


def test_skipped_push_returns_to_feedback_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    returned: list[int] = []
    add_back = Encoder.add_back

    def noted(self: Encoder, round_: int, workers: Collection[int]) -> bool:
        assert threading.current_thread() is not threading.main_thread(), "the stream waits for the disk"
        returned.append(round_)
        return add_back(self, round_, workers)

    monkeypatch.setattr(Encoder, "add_back", noted)
    config = replace(CONFIG, codec="top_k(k=3)", feedback="error")
    _, summary = computed_by_a_slow_worker(config, tmp_path, 10, monkeypatch)
    assert returned[0] == 0 and summary["replicas_agree"]


def test_pushes_of_a_diverged_replica_are_discarded_until_it_is_in_sync(tmp_path: Path) -> None:
    """What it sent before it had received the server's model does not count."""
    config = replace(CONFIG, quorum=0, deadline=0.0, rounds=1, downlink="log")
    codec = parse(config.codec, 12)
    good, *discarded = (codec.encode(np.full(12, x), np.random.default_rng(0)) for x in (1.0, -2.0, -3.0))
    counted = []

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        diverged = RawWorker(await run.address)
        joining = group.create_task(diverged.join(config, "diverged", (1,)))
        steady = group.create_task(run.work("steady", (0,)))
        await joining
        await diverged.send(push=wire_pb2.Push(round=0, payloads=discarded[0], digest=1))
        await diverged.send(push=wire_pb2.Push(round=0, payloads=discarded[1]))
        assert (await diverged.receive()).WhichOneof("message") == "snapshot"
        await diverged.send(ready=wire_pb2.Ready())
        assert (await diverged.receive()).WhichOneof("message") == "open"
        await diverged.send(push=wire_pb2.Push(round=0, payloads=good))
        counted.append((await diverged.receive()).entry.payloads.data[-codec.nbytes :])
        assert (await diverged.receive()).WhichOneof("message") == "finish"
        await diverged.close()
        group.create_task(run.work("diverged", (1,)))
        await steady

    summary, _ = run_script(config, tmp_path, script)
    assert counted == [good] and summary["resyncs"] == 1
