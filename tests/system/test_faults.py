"""Faults in the middle of a run: it ends with the bits that it would have had without them."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import Unavailable
from gradwire.common.training.config import RunConfig
from gradwire.common.transport import traffic
from gradwire.common.transport.statuses import error_of
from gradwire.proto import wire_pb2
from gradwire.server.summary import failed_check
from tests.system.fault_injection import (
    PushGate,
    damage_one_replica,
    killed_and_rejoining,
    run_with_two_servers,
)
from tests.system.harness import Run, run_hosts, run_script, simulate, whole_run
from tests.system.raw_worker import RawWorker

CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)",
    codec="cross_polytope(repeats=9)",
    workers=3,
    rounds=12,
    digest_every=1,
)


@pytest.mark.parametrize(
    "change",
    [
        {"downlink": "log"},
        {"downlink": "sum"},
        {"downlink": "model"},
        {"codec": "top_k(k=3)", "feedback": "error"},
    ],
    ids=lambda change: "-".join(change.values()),
)
def test_killed_worker_rejoins(change: dict[str, str], tmp_path: Path) -> None:
    config = replace(CONFIG, **change)
    summary, _ = run_script(config, tmp_path, killed_and_rejoining(after=4))
    assert summary["digest"] == f"{simulate(config).digest:016x}"
    assert summary["replicas_agree"] and summary["predicted_equals_measured"] and summary["reconnects"] == 1


@pytest.mark.parametrize("downlink", ["log", "sum", "model"])
def test_killed_server_resumes(downlink: str, tmp_path: Path) -> None:
    config = replace(CONFIG, downlink=downlink)
    summary, run = run_with_two_servers(config, tmp_path, after=5)
    assert run.events[0]["round"] > 5
    assert summary["digest"] == f"{simulate(config).digest:016x}"
    assert summary["replicas_agree"] and summary["predicted_equals_measured"]


def test_diverged_replica_takes_server_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage_one_replica(monkeypatch, 4)
    summary, run = run_hosts(CONFIG, tmp_path, [(0,), (1,), (2,)])
    assert summary["resyncs"] == 1 and summary["replicas_agree"]
    assert [e["round"] for e in run.events if e["event"] == "resync"] == [5]
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}"


@pytest.mark.usefixtures("short_wait")
def test_straggler_is_answered_late(tmp_path: Path, gate: PushGate) -> None:
    config = replace(CONFIG, quorum=2, deadline=0.1, rounds=3)
    gate.hold(2)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("steady", (0, 1)))
        straggler = RawWorker(await run.address)
        await straggler.join(config, "straggler", (2,))  # it pushes once its round is over
        await run.committed(1)
        await straggler.send(push=late_push(config))
        while (await straggler.receive()).WhichOneof("message") != "late":
            pass
        gate.release()
        await straggler.close()

    summary, _ = run_script(config, tmp_path, script)
    assert summary["late"] == 1 and summary["replicas_agree"]
    assert summary["uplink"]["payload_bits"] == (3 * 2 + 1) * summary["payload_bits_per_push"]


def late_push(config: RunConfig) -> Any:
    codec = parse(config.codec, 24)
    return wire_pb2.Push(round=0, payloads=codec.encode(np.ones(24), np.random.default_rng(0)))


@pytest.mark.usefixtures("short_wait")
@pytest.mark.parametrize(
    "change",
    [
        {"codec": "top_k(k=3)", "feedback": "error"},
        {"local": "local(steps=2, optimizer=sgd(lr=0.02), scaffold=true)"},
    ],
    ids=["feedback", "scaffold"],
)
def test_joining_process_learns_whether_its_last_push_was_counted(
    change: dict[str, str], tmp_path: Path, gate: PushGate
) -> None:
    config = replace(CONFIG, quorum=1, deadline=0.1, **change)
    gate.hold(3)
    answers = []

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("steady", (0,)))
        await run.committed(2)
        joining = RawWorker(await run.address)
        kind = await joining.greet(config, "joining", (1, 2), last={1: 1, 2: 0})
        while kind != "open":
            message = await joining.receive()
            kind = message.WhichOneof("message")
            if kind == "late":
                answers.append((message.late.round, *message.late.workers))
        await joining.close()
        gate.release()

    run_script(config, tmp_path, script)
    assert answers == [(0, 2), (1, 1)]


def test_late_joiner_catches_up(tmp_path: Path, gate: PushGate) -> None:
    config = replace(CONFIG, quorum=2, deadline=0.1)
    gate.hold(4)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("early", (0, 1)))
        await run.committed(3)
        group.create_task(run.work("late", (2,)))
        await run.joined("late")
        gate.release()

    summary, _ = run_script(config, tmp_path, script)
    assert summary["replicas_agree"] and summary["replicas_checked"] == 2
    assert summary["predicted_equals_measured"]


def test_wrong_byte_prediction_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = traffic.push_bytes
    monkeypatch.setattr(traffic, "push_bytes", lambda *a, **k: real(*a, **k) + 1)
    summary = whole_run(replace(CONFIG, rounds=2), tmp_path, [(0, 1, 2)])
    assert not summary["predicted_equals_measured"]
    assert "bytes are not those predicted" in str(failed_check(summary))


def test_silent_initialiser_does_not_block_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker that is asked for the initial model sends nothing: another one is asked."""
    monkeypatch.setattr("gradwire.server.stream.joining.UPLOAD_TIMEOUT", 0.3)
    # So that silence alone is too long
    monkeypatch.setattr("gradwire.server.stream.joining.UPLOAD_RATE", 1e-6)
    config = replace(CONFIG, workers=2)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        silent = RawWorker(await run.address)
        assert await silent.greet(config, "silent", (0,)) == "upload"
        group.create_task(run.work("good", (1,)))
        code, details = await silent.refused()
        assert code is grpc.StatusCode.UNAVAILABLE and "no message within" in details
        await silent.close()
        group.create_task(run.work("silent", (0,)))

    summary, _ = run_script(config, tmp_path, script)
    assert summary["digest"] == f"{simulate(config).digest:016x}"


def test_concurrent_streams_of_one_process_leave_one(tmp_path: Path) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        rivals = [RawWorker(await run.address) for _ in range(4)]
        answers = await asyncio.gather(
            *(r.greet(CONFIG, "one", (0,)) for r in rivals), return_exceptions=True
        )
        assert "upload" in answers  # the one that stayed was asked for the model
        errors = [error_of(a) for a in answers if a != "upload"]
        # A write into a stream that was just cut is "Internal error from Core": workers try again then too.
        assert all(isinstance(e, Unavailable) or "from Core" in str(e) for e in errors), errors
        for rival in rivals:
            await rival.close()
        for i, name in enumerate(("one", "two", "three")):
            group.create_task(run.work(name, (i,)))

    summary, _ = run_script(CONFIG, tmp_path, script)
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}"
