"""Private runs: what leaves a worker, what its ledger says, and what it does not let a server ask for."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import parse, registry
from gradwire.common.errors import BudgetError, PrivacyError
from gradwire.common.privacy.budget import Budget
from gradwire.common.training.config import RunConfig
from gradwire.common.transport.address import parse_address
from gradwire.common.transport.specs import run_to_message
from gradwire.proto import wire_pb2
from gradwire.server.log.run_log import RunLog
from gradwire.worker.encoder import Encoder
from gradwire.worker.privacy import Ledger, Limits, Privacy, check_assignment
from gradwire.worker.privacy.enforcement import ledger_run
from gradwire.worker.process import WorkerOptions, WorkerProcess
from gradwire.worker.replica import Replica
from gradwire.worker.tasks import build_task
from tests.common.codecs.toys import PrivateToy
from tests.system.harness import Run
from tests.system.test_faults import Rounds, cancel

CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)", codec="private_toy", workers=3, rounds=12, digest_every=1
)
EPSILON = PrivateToy(dim=24).epsilon


@pytest.fixture(autouse=True)
def _private_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._REGISTRY._classes, "private_toy", PrivateToy)


async def work(run: Run, name: str, ids: tuple[int, ...], limits: Limits | None = None) -> None:
    options = WorkerOptions(
        parse_address(await run.address),
        name,
        workers=ids,
        retry_for=10.0,
        state_dir=run.directory / name,
        limits=limits or Limits(),
    )
    await WorkerProcess(options).run()


def private_run(config: RunConfig, directory: Path, limits: Limits) -> tuple[Run, dict[str, Any]]:
    async def main() -> tuple[Run, dict[str, Any]]:
        run = Run(config, directory)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            group.create_task(work(run, "a", (0, 1), limits))
            group.create_task(work(run, "b", (2,), limits))
        return run, server.result()

    return asyncio.run(main())


def pushes(directory: Path) -> int:
    ledger = Ledger(directory)
    ledger.close()
    return sum(counts.total() for counts in ledger._pushes.values())


@pytest.mark.parametrize("report", [False, True])
def test_losses_and_metrics_stay_at_home_unless_the_worker_opts_in(tmp_path: Path, report: bool) -> None:
    run, summary = private_run(CONFIG, tmp_path, Limits(Budget(1000.0), report_metrics=report))
    assert summary["predicted_equals_measured"] and summary["replicas_agree"]
    assert ({"metrics"} <= {event["event"] for event in run.events}) is report
    assert all((row["loss"] is not None) is report for row in summary["history"][:-1])
    assert (summary["loss"] is not None) is report and bool(summary["metrics"]) is report
    assert pushes(tmp_path / "a") == 24 and pushes(tmp_path / "b") == 12
    assert summary["privacy"]["epsilon_per_push"] == EPSILON
    assert summary["privacy"]["spent"]["pure"] == pytest.approx(12 * EPSILON)


def test_what_was_sent_is_what_was_paid_for(tmp_path: Path) -> None:
    private_run(CONFIG, tmp_path, Limits())
    codec = parse(CONFIG.codec, 24)
    with RunLog.open(tmp_path) as log:
        records = list(log.read(0, 12))
        message = run_to_message(CONFIG, log.run_id)
    for name, ids in (("a", (0, 1)), ("b", (2,))):
        ledger = Ledger(tmp_path / name)
        ledger.admit(ledger_run(message, codec, ids))
        for record in records:
            sent = dict(zip(record.workers, record.payloads, strict=True))
            assert ledger.payloads(record.round) == {worker: sent[worker] for worker in ids}
        ledger.close()


def test_a_worker_that_dies_and_comes_back_pays_once(tmp_path: Path) -> None:
    async def main() -> dict[str, Any]:
        rounds = Rounds()
        run = Run(CONFIG, tmp_path, rounds)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            group.create_task(work(run, "steady", (0, 1)))
            mortal = asyncio.create_task(work(run, "mortal", (2,)))
            await rounds.committed(4).wait()
            await cancel(mortal)
            group.create_task(work(run, "mortal", (2,)))
        return server.result()

    summary = asyncio.run(main())
    assert summary["replicas_agree"] and summary["predicted_equals_measured"]
    assert pushes(tmp_path / "mortal") == CONFIG.rounds


def test_a_worker_whose_replica_differs_sends_the_same_bytes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold, damaged = Replica.fold, []

    def damage_once(self: Replica, entry: Any) -> int:
        size = fold(self, entry)
        if entry.round == 4 and not damaged:
            damaged.append(self)
            self.model.round -= 1
            self.model.replace(self.model.params + np.float32(1))
        return size

    monkeypatch.setattr(Replica, "fold", damage_once)
    _, summary = private_run(CONFIG, tmp_path, Limits())
    assert summary["resyncs"] >= 1 and summary["replicas_agree"]
    assert pushes(tmp_path / "a") == 24 and pushes(tmp_path / "b") == 12


def test_a_worker_stops_when_its_budget_is_spent_and_the_quorum_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradwire.server.shutdown.FINISH_WAIT", 0.2)
    config = replace(CONFIG, quorum=2, deadline=0.2)

    async def main() -> tuple[dict[str, Any], BaseException | None]:
        run = Run(config, tmp_path)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            group.create_task(work(run, "rich", (0, 1)))
            poor = asyncio.create_task(work(run, "poor", (2,), Limits(Budget(5.5 * EPSILON))))
            await asyncio.wait([poor])
            await server
        return server.result(), poor.exception()

    summary, error = asyncio.run(main())
    assert isinstance(error, BudgetError) and "is spent in 5 pushes" in str(error)
    assert summary["rounds"] == 12 and pushes(tmp_path / "poor") == 5
    with RunLog.open(tmp_path) as log:
        assert [len(record.workers) for record in log.read(0, 12)] == [3] * 5 + [2] * 7


@pytest.mark.parametrize(
    ("change", "limits", "message"),
    [
        ({"codec": "cross_polytope"}, Limits(Budget(100.0)), "not private and this worker has --max-epsilon"),
        ({"weighting": "examples"}, Limits(), "weighs workers by their example counts"),
        ({}, Limits(Budget(EPSILON / 2)), "does not pay for another push"),
    ],
)
def test_a_run_beyond_the_limits_is_not_joined(
    tmp_path: Path, change: dict[str, str], limits: Limits, message: str
) -> None:
    async def main() -> tuple[BaseException | None, int]:
        run = Run(replace(CONFIG, **change), tmp_path)
        server = asyncio.create_task(run.serve())
        worker = asyncio.create_task(work(run, "a", (0, 1, 2), limits))
        await asyncio.wait([worker], timeout=30)
        await cancel(server)
        return worker.exception(), sum(event["event"] == "round" for event in run.events)

    error, committed = asyncio.run(main())
    assert isinstance(error, PrivacyError) and message in str(error)
    assert committed == 0


def test_a_worker_says_what_its_data_have_cost_so_far() -> None:
    run, codec = run_to_message(CONFIG, b"run"), parse("private_toy", 24)
    for limits, told in (
        (Limits(Budget(100.0)), "of epsilon 100, 4.901 is spent in 2 pushes over all runs, 38 more fit"),
        (Limits(), "4.901 is spent in 2 pushes over all runs, no limit is set"),
    ):
        privacy = Privacy(limits, None)
        ledger = privacy.admit(run, codec, (0, 1))
        assert ledger is not None
        for round_ in range(2):
            ledger.spend(round_, {0: b"a", 1: b"b"})
        assert privacy.notice(codec) == f"each push costs epsilon {EPSILON:.4g}; {told}"
        assert privacy.notice(parse("cross_polytope", 24)) is None


def test_coins_are_the_operating_systems() -> None:
    task = build_task(CONFIG.task, workers=3, seed=0)
    codec = parse("private_toy(repeats=20)", task.dim)
    drawn = {
        Encoder(task, codec, 0, (0,)).encode(task.initial(), 0).payloads for _ in range(3)
    }  # a seeded encoder repeats itself
    assert len(drawn) == 3
    plain = parse("cross_polytope(repeats=20)", task.dim)
    assert len({Encoder(task, plain, 0, (0,)).encode(task.initial(), 0).payloads for _ in range(3)}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"workers": 4},
        {"task": "least_squares(samples=96, dim=24)"},
        {"codec": "private_toy(repeats=2)"},
        {"feedback": "error"},
    ],
)
def test_a_server_cannot_deal_the_data_anew_within_a_run(tmp_path: Path, change: dict[str, Any]) -> None:
    def join(config: RunConfig) -> None:
        privacy = Privacy(Limits(Budget(100.0)), tmp_path)
        try:
            ledger = privacy.admit(run_to_message(config, b"run"), parse(config.codec, 24), (0, 1))
            assert ledger is not None
            ledger.spend(ledger.totals.pushes, {0: b"a", 1: b"b"})
        finally:
            privacy.close()

    join(CONFIG)
    join(replace(CONFIG, evaluate_every=5, rounds=20))  # says nothing of whose data a payload is
    with pytest.raises(PrivacyError, match="changed its codec, task or seed"):
        join(replace(CONFIG, **change))


@pytest.mark.parametrize(
    ("count", "wanted", "assigned"),
    [(1, [], [0, 1]), (2, [], [1]), (2, [], [1, 1]), (1, [3], [4]), (2, [3, 4], [3]), (1, [], [])],
)
def test_a_server_cannot_make_a_worker_count_for_more(
    count: int, wanted: list[int], assigned: list[int]
) -> None:
    with pytest.raises(PrivacyError, match="do not trust it"):
        check_assignment(wire_pb2.Join(count=count, workers=wanted), assigned)


def test_an_assignment_as_asked_is_taken() -> None:
    check_assignment(wire_pb2.Join(count=2), [5, 9])
    check_assignment(wire_pb2.Join(count=1, workers=[4, 3]), [3, 4])
