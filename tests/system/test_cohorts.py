"""Runs that draw a cohort for each round, over gRPC: who pushes, what it costs, and the bits that they end with."""

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import grpc
import pytest

from gradwire.common.codecs import parse
from gradwire.common.privacy.budget import Budget
from gradwire.common.training.config import RunConfig
from gradwire.common.transport import traffic
from gradwire.proto import wire_pb2
from gradwire.server.log.run_log import RunLog
from gradwire.server.summary import failed_check
from gradwire.worker.privacy import Ledger, Limits
from tests.system.cohorts import ProcessGate, cohorts, permutation, recomputed, records_of
from tests.system.harness import Run, cancel, run_hosts, run_script, whole_run
from tests.system.raw_worker import RawWorker

CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)",
    codec="cross_polytope(repeats=20)",
    workers=6,
    cohort=2,
    rounds=12,
    digest_every=2,
    evaluate_every=3,
    seed=11,
)
HOSTS = [(0,), (1, 2, 4), (3, 5)]
MEMORIES = {
    "feedback": {"codec": "top_k(k=3)", "feedback": "error"},
    "scaffold": {"local": "local(steps=2, optimizer=sgd(lr=0.02), scaffold=true)", "codec": "float32"},
    "kept and feedback": {
        "local": "local(steps=2, optimizer=sgd(lr=0.02, momentum=0.9), inner=kept)",
        "codec": "top_k(k=3)",
        "feedback": "error",
    },
}


def check(summary: dict[str, object], config: RunConfig, folder: Path) -> None:
    assert failed_check(summary) is None, summary
    assert summary["predicted_equals_measured"] and summary["replicas_agree"]
    assert summary["digest"] == f"{recomputed(config, folder).digest:016x}"


@pytest.mark.parametrize("downlink", ["log", "sum", "model", "auto"])
@pytest.mark.parametrize("codec", ["cross_polytope(repeats=20)", "float32", "qsgd(levels=3)"])
def test_the_drawn_workers_push_and_nobody_else(codec: str, downlink: str, tmp_path: Path) -> None:
    config = replace(CONFIG, codec=codec, downlink=downlink)
    summary = whole_run(config, tmp_path, HOSTS)
    check(summary, config, tmp_path)
    assert [record.workers for record in records_of(tmp_path)] == cohorts(config)
    assert len(set(cohorts(config))) > 4, "the cohorts differ"
    if parse(codec, 24).fixed_length:
        assert summary["uplink"]["payload_bits"] == 12 * 2 * summary["payload_bits_per_push"]
    assert summary["cohort"] == 2 and summary["replicas_checked"] == 3 and summary["late"] == 0


def test_the_bytes_of_every_message_follow_from_the_cohorts(tmp_path: Path) -> None:
    """Pushes and entries added up from the draw and the formulas alone."""
    config = replace(CONFIG, codec="float32", downlink="log", digest_every=5)
    summary = whole_run(config, tmp_path, HOSTS)
    drawn, size = cohorts(config), 4 * 24
    up = down = 0
    for round_, cohort in enumerate(drawn):
        for hosted in HOSTS:
            pushing = [w for w in hosted if w in cohort]
            if pushing:
                named = 2 + len(pushing) if len(pushing) < len(hosted) else 0
                data, losses = size * len(pushing), 4 * len(pushing)
                inner = (2 if round_ else 0) + 1 + traffic.varint_bytes(data) + data + 2 + losses + named
                inner += 9 if round_ % 5 == 0 else 0
                up += 1 + traffic.varint_bytes(inner) + inner
        payloads = 1 + 2 + 2 * size + (2 + len(cohort))
        following = 2 + len(drawn[round_ + 1]) if round_ + 1 < len(drawn) else 0
        inner = (2 if round_ else 0) + 1 + 2 + payloads + following
        down += len(HOSTS) * (1 + 2 + inner)
    assert (summary["uplink"]["message_bytes"], summary["downlink"]["message_bytes"]) == (up, down)


@pytest.mark.parametrize("change", MEMORIES.values(), ids=MEMORIES)
def test_memories_last_while_a_worker_is_not_drawn(change: dict[str, str], tmp_path: Path) -> None:
    config = replace(CONFIG, workers=10, cohort=1, rounds=40, downlink="log", **change)
    summary = whole_run(config, tmp_path, [(0, 1, 2, 3), (4, 5, 6), (7, 8, 9)])
    check(summary, config, tmp_path)
    assert [record.workers for record in records_of(tmp_path)] == cohorts(config)
    rounds = [[t for t, (w,) in enumerate(cohorts(config)) if w == worker] for worker in range(10)]
    assert max(b - a for each in rounds for a, b in pairwise(each)) > 8


def test_weights_are_those_of_the_drawn_workers(tmp_path: Path) -> None:
    config = replace(
        CONFIG,
        task="softmax(digits)",
        weighting="size",
        partition="dirichlet(0.5)",
        rounds=6,
        codec="float32",
    )
    summary = whole_run(config, tmp_path, HOSTS)
    assert failed_check(summary) is None
    weights = {
        w: e for record in records_of(tmp_path) for w, e in zip(record.workers, record.examples, strict=True)
    }
    assert len(weights) > 3 and len(set(weights.values())) == len(weights)
    assert all(len(record.examples) == 2 for record in records_of(tmp_path))


def test_a_private_worker_pays_for_the_rounds_that_draw_it(tmp_path: Path) -> None:
    config = replace(
        CONFIG,
        codec="private_top(epsilon=1.0)",
        workers=4,
        cohort=1,
        rounds=16,
        downlink="log",
        max_epsilon=8.0,
    )
    hosts = [(0, 1), (2,), (3,)]
    drawn = Counter(worker for (worker,) in cohorts(config))
    limits = Limits(Budget(float(max(drawn.values()))))  # 16 rounds would cost more

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for i, ids in enumerate(hosts):
            group.create_task(run.work(f"process-{i}", ids, limits=limits))

    summary, _ = run_script(config, tmp_path, script)
    assert failed_check(summary) is None and summary["privacy"]["pushes"] == 16, "an upper bound"
    assert max(drawn.values()) < 16 and min(drawn[w] for w in range(4)) > 0
    records = records_of(tmp_path)
    for i, ids in enumerate(hosts):
        ledger = Ledger(tmp_path / f"process-{i}")
        run_id = run_id_of(tmp_path)
        stored = {
            (record.round, worker): payload
            for record in records
            for worker, payload in zip(record.workers, record.payloads, strict=True)
            if worker in ids
        }
        kept = {(t, w): payload for t in range(16) for w, payload in ledger._file.payloads(run_id, t).items()}
        assert kept == stored
        assert ledger.totals.pushes == max(drawn[w] for w in ids)
        ledger.close()


def run_id_of(folder: Path) -> bytes:
    with RunLog.open_read_only(folder) as log:
        return log.run_id


def test_a_server_that_is_killed_goes_on_with_the_same_cohorts(tmp_path: Path) -> None:
    config = replace(CONFIG, rounds=30, downlink="log", **MEMORIES["feedback"])

    async def main() -> dict[str, object]:
        run, again = Run(config, tmp_path), Run(config, tmp_path)
        async with asyncio.timeout(300), asyncio.TaskGroup() as group:
            first = asyncio.create_task(run.serve())
            for i, ids in enumerate(HOSTS):
                group.create_task(run.work(f"process-{i}", ids))
            await run.committed(9)
            await cancel(first)
            second = group.create_task(again.serve(await run.address))
        return second.result()

    summary = asyncio.run(main())
    check(summary, config, tmp_path)
    assert [record.workers for record in records_of(tmp_path)] == cohorts(config)


@pytest.mark.usefixtures("short_wait")
def test_another_takes_the_place_of_a_drawn_worker_that_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without MIN, too: 5 others do not wait for one for ever."""
    first, second, *others = permutation(CONFIG.seed, 0, 6)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        gate = ProcessGate(monkeypatch, "leaving", 0)
        leaving = asyncio.create_task(run.work("leaving", (first,)))
        for worker in (second, *others):
            group.create_task(run.work(f"stays-{worker}", (worker,)))
        await gate.held.wait()
        await cancel(leaving)
        await run.seen("left")
        gate.release()

    summary, _ = run_script(CONFIG, tmp_path, script)
    records = records_of(tmp_path)
    assert records[0].workers == tuple(sorted((second, others[0])))
    assert [record.workers for record in records[1:]] == cohorts(CONFIG, [second, *others])[1:]
    assert failed_check(summary) is None and summary["workers_unchecked"] == 1


def test_who_leaves_and_returns_within_a_round_is_due_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (both,) = cohorts(replace(CONFIG, rounds=1))
    config = replace(CONFIG, **MEMORIES["feedback"])

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        gate = ProcessGate(monkeypatch, "leaving", 0)
        leaving = asyncio.create_task(run.work("leaving", both[:1]))
        slow = ProcessGate(monkeypatch, "other", 0)
        group.create_task(run.work("other", both[1:]))
        group.create_task(run.work("rest", tuple(w for w in range(6) if w not in both)))
        await asyncio.gather(gate.held.wait(), slow.held.wait())
        await cancel(leaving)
        await run.seen("left")
        gate.release()
        group.create_task(run.work("leaving", both[:1]))
        await run.joined("leaving", times=2)
        slow.release()

    summary, _ = run_script(config, tmp_path, script)
    check(summary, config, tmp_path)
    assert records_of(tmp_path)[0].workers == both


def test_a_push_of_workers_that_are_not_drawn_is_refused(tmp_path: Path) -> None:
    (drawn,) = cohorts(replace(CONFIG, rounds=1))
    other = next(w for w in range(6) if w not in drawn)
    payload = parse(CONFIG.codec, 24)
    found = []

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        raw = RawWorker(await run.address)
        joining = group.create_task(raw.join(CONFIG, "raw", (other,)))
        rest = [w for w in range(6) if w not in (*drawn, other)]
        group.create_task(run.work("rest", tuple(rest)))
        held = RawWorker(await run.address)
        also = group.create_task(held.join(CONFIG, "held", drawn))  # keeps the round open
        await asyncio.gather(joining, also)
        await raw.send(push=wire_pb2.Push(round=0, payloads=bytes(payload.nbytes)))
        found.append(await raw.refused())
        await raw.close()
        await held.send(push=wire_pb2.Push(round=0, payloads=bytes(2 * payload.nbytes), workers=drawn))
        found.append(await held.refused())
        await held.close()
        group.create_task(run.work("raw", (other,)))
        group.create_task(run.work("held", drawn))

    run_script(CONFIG, tmp_path, script)
    assert found[0][0] is grpc.StatusCode.PERMISSION_DENIED
    assert f"worker {other} is not drawn for round 0" in found[0][1]
    assert found[1][0] is grpc.StatusCode.INVALID_ARGUMENT and "or none for all of them" in found[1][1]


def test_open_and_entries_name_who_is_due(tmp_path: Path) -> None:
    config = replace(CONFIG, rounds=3, downlink="sum")
    drawn = cohorts(config)
    seen = []

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        watcher = RawWorker(await run.address)
        idle = next(w for w in range(6) if all(w not in cohort for cohort in drawn))
        joining = group.create_task(watcher.greet(config, "watcher", (idle,)))
        for worker in range(6):
            if worker != idle:
                group.create_task(run.work(f"process-{worker}", (worker,)))
        kind = await joining
        while kind != "open":
            if kind == "upload":
                await watcher.send(initial=wire_pb2.Snapshot(state=watcher.params.tobytes()))
            message = await watcher.receive()
            kind = message.WhichOneof("message")
        seen.append(tuple(message.open.pushed) == (idle,))
        while (message := await watcher.receive()).WhichOneof("message") == "entry":
            seen.append((message.entry.round, tuple(message.entry.cohort), message.entry.sum.workers))
        assert message.WhichOneof("message") == "finish"
        await watcher.close()
        group.create_task(run.work("watcher", (idle,)))

    run_script(config, tmp_path, script)
    assert seen == [True, (0, drawn[1], 2), (1, drawn[2], 2), (2, (), 2)]


def test_the_run_of_one_process_draws_from_its_own_workers(tmp_path: Path) -> None:
    summary, _ = run_hosts(CONFIG, tmp_path, [(0, 1, 2, 3, 4, 5)])
    check(summary, CONFIG, tmp_path)
