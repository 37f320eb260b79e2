"""A worker that computes for longer than a round lasts: it catches up instead of computing what nobody wants."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.training.config import RunConfig
from gradwire.proto import wire_pb2
from gradwire.worker.encoder import EncodedRound, Encoder
from gradwire.worker.stream import Stream
from tests.system.harness import RawWorker, Run

CONFIG = RunConfig(
    task="least_squares(samples=32, dim=12)",
    codec="cross_polytope(repeats=3)",
    workers=2,
    rounds=14,
    quorum=1,
    deadline=0.05,
)
PATIENCE = 60.0


def computed_by_a_slow_worker(
    config: RunConfig, folder: Path, held_until: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[int], dict[str, Any]]:
    """Rounds that worker 1 computed, whose first gradient takes until that round is committed; a summary."""
    encode, rounds, passed = Encoder.encode, [], threading.Event()

    def slow(self: Encoder, params: Any, round_: int) -> EncodedRound:
        if self.workers == (1,):
            rounds.append(round_)
            assert passed.wait(PATIENCE)
        return encode(self, params, round_)

    monkeypatch.setattr(Encoder, "encode", slow)

    async def main() -> dict[str, Any]:
        joined = asyncio.Event()

        def watch(event: dict[str, Any]) -> None:
            if event["event"] == "joined":
                joined.set()
            if event.get("round") == held_until:
                passed.set()

        run = Run(config, folder, watch)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            group.create_task(run.work("slow", (1,)))
            await joined.wait()  # so its first round is round 0
            group.create_task(run.work("fast", (0,)))
        return server.result()

    return rounds, asyncio.run(main())


def test_it_computes_for_the_newest_round_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send, sent = Stream._send, []

    async def recorded(self: Stream, message: wire_pb2.FromWorker) -> None:
        if self._join.process == "slow" and message.HasField("push"):
            sent.append(message.push.round)
        await send(self, message)

    monkeypatch.setattr(Stream, "_send", recorded)
    rounds, summary = computed_by_a_slow_worker(CONFIG, tmp_path, 10, monkeypatch)
    assert rounds[0] == 0 and min(rounds[1:], default=10) >= 10, rounds
    assert 0 not in sent  # the overtaken payload was not even sent
    assert summary["replicas_agree"] and summary["replicas_checked"] == 2


def test_it_computes_nothing_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, summary = computed_by_a_slow_worker(CONFIG, tmp_path, CONFIG.rounds - 1, monkeypatch)
    assert rounds == [0] and summary["replicas_checked"] == 2


def test_what_was_overtaken_goes_back_into_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned: list[int] = []
    add_back = Encoder.add_back
    monkeypatch.setattr(Encoder, "add_back", lambda self, r: (returned.append(r), add_back(self, r))[1])
    config = replace(CONFIG, codec="top_k(k=3)", feedback="error")
    _, summary = computed_by_a_slow_worker(config, tmp_path, 10, monkeypatch)
    assert returned[0] == 0 and summary["replicas_agree"]


def test_a_worker_that_differs_is_not_heard_before_it_is_in_step(tmp_path: Path) -> None:
    """What it sent before it learnt of the server's model does not count, so its next word is the first."""
    config = replace(CONFIG, quorum=0, deadline=0.0, rounds=1, downlink="log")
    codec = parse(config.codec, 12)
    good, *stray = (codec.encode(np.full(12, x), np.random.default_rng(0)) for x in (1.0, -2.0, -3.0))

    async def main() -> tuple[dict[str, Any], bytes]:
        run = Run(config, tmp_path)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            differs = RawWorker(await run.address)
            joining = group.create_task(differs.join(config, "differs", (1,)))
            steady = group.create_task(run.work("steady", (0,)))
            await joining
            await differs.send(push=wire_pb2.Push(round=0, payloads=stray[0], digest=1))
            await differs.send(push=wire_pb2.Push(round=0, payloads=stray[1]))
            assert (await differs.receive()).WhichOneof("message") == "snapshot"
            await differs.send(ready=wire_pb2.Ready())
            assert (await differs.receive()).WhichOneof("message") == "open"
            await differs.send(push=wire_pb2.Push(round=0, payloads=good))
            entry = (await differs.receive()).entry
            assert (await differs.receive()).WhichOneof("message") == "finish"
            await differs.close()
            group.create_task(run.work("differs", (1,)))
            await steady
        return server.result(), entry.payloads.data[-codec.nbytes :]

    summary, counted = asyncio.run(main())
    assert counted == good and summary["resyncs"] == 1
