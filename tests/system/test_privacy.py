"""Private runs: what a worker sends, what its ledger counts, and which requests of a server it refuses."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.codecs import parse, registry
from gradwire.common.errors import BudgetError, PrivacyError
from gradwire.common.privacy.budget import Budget
from gradwire.common.training.config import RunConfig
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.transport.specs import run_to_message
from gradwire.proto import wire_pb2
from gradwire.server.log.run_log import RunLog
from gradwire.worker.encoder import Encoder
from gradwire.worker.privacy import Ledger, Limits, Privacy, check_assignment
from gradwire.worker.privacy.enforcement import ledger_run
from gradwire.worker.tasks import build_task
from gradwire.worker.updates import TaskGradient
from tests.common.codecs.toys import PrivateToy
from tests.system.fault_injection import damage_one_replica, killed_and_rejoining
from tests.system.harness import TIMEOUT, Run, cancel, run_script

CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)", codec="private_toy", workers=3, rounds=12, digest_every=1
)
EPSILON = PrivateToy(dim=24).epsilon


@pytest.fixture(autouse=True)
def _private_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._REGISTRY._classes, "private_toy", PrivateToy)


def private_run(config: RunConfig, directory: Path, limits: Limits) -> tuple[dict[str, Any], Run]:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("a", (0, 1), limits=limits))
        group.create_task(run.work("b", (2,), limits=limits))

    return run_script(config, directory, script)


def pushes(directory: Path) -> int:
    """Pushes that the ledger of a process has counted."""
    ledger = Ledger(directory)
    ledger.close()
    return sum(counts.total() for counts in ledger._pushes.values())


@pytest.mark.parametrize("report", [False, True])
def test_losses_and_metrics_are_reported_only_on_request(tmp_path: Path, report: bool) -> None:
    summary, run = private_run(CONFIG, tmp_path, Limits(Budget(1000.0), report_metrics=report))
    assert summary["predicted_equals_measured"] and summary["replicas_agree"]
    assert ({"metrics"} <= {event["event"] for event in run.events}) is report
    assert all((row["loss"] is not None) is report for row in summary["history"][:-1])
    assert (summary["loss"] is not None) is report and bool(summary["metrics"]) is report
    assert pushes(tmp_path / "a") == 24 and pushes(tmp_path / "b") == 12
    assert summary["privacy"]["epsilon_per_push"] == EPSILON
    assert summary["privacy"]["spent"]["pure"] == pytest.approx(12 * EPSILON)


@pytest.mark.parametrize("expected", [False, True])
@pytest.mark.parametrize("report", [False, True])
def test_losses_by_worker_are_stored_only_if_both_ends_opt_in(
    tmp_path: Path, report: bool, expected: bool
) -> None:
    config = replace(CONFIG, report_metrics=expected)
    private_run(config, tmp_path, Limits(Budget(1000.0), report_metrics=report))
    with closing(sqlite3.connect(tmp_path / "run.db")) as db:
        stored = db.execute("SELECT count(*) FROM losses").fetchone()
    assert stored == (12 if report and expected else 0,)


def test_budget_of_a_run_that_grows_goes_on(tmp_path: Path) -> None:
    limits = Limits(Budget(1000.0))
    private_run(CONFIG, tmp_path, limits)
    summary, _ = private_run(replace(CONFIG, rounds=15), tmp_path, limits)
    assert summary["privacy"]["pushes"] == 15 and summary["replicas_agree"]
    assert pushes(tmp_path / "a") == 30 and pushes(tmp_path / "b") == 15


def test_sent_payloads_are_those_in_the_ledger(tmp_path: Path) -> None:
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


def test_restarted_worker_spends_a_round_once(tmp_path: Path) -> None:
    summary, _ = run_script(CONFIG, tmp_path, killed_and_rejoining(after=4))
    assert summary["replicas_agree"] and summary["predicted_equals_measured"]
    assert pushes(tmp_path / "killed") == CONFIG.rounds


def test_diverged_replica_sends_the_same_bytes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage_one_replica(monkeypatch, 4)
    summary, _ = private_run(CONFIG, tmp_path, Limits())
    assert summary["resyncs"] >= 1 and summary["replicas_agree"]
    assert pushes(tmp_path / "a") == 24 and pushes(tmp_path / "b") == 12


@pytest.mark.usefixtures("short_wait")
def test_worker_stops_when_its_budget_is_spent(tmp_path: Path) -> None:
    """The others go on as a quorum; no deadline passes, for rounds need only those that are connected."""
    config = replace(CONFIG, quorum=2, deadline=1000.0)
    errors: list[BaseException | None] = []

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("rich", (0, 1)))
        limits = Limits(Budget(5.5 * EPSILON))
        poor = asyncio.create_task(run.work("poor", (2,), limits=limits))
        await asyncio.wait([poor])
        errors.append(poor.exception())

    summary, _ = run_script(config, tmp_path, script)
    assert isinstance(errors[0], BudgetError) and "is spent in 5 pushes" in str(errors[0])
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
def test_run_beyond_the_limits_is_not_joined(
    tmp_path: Path, change: dict[str, str], limits: Limits, message: str
) -> None:
    async def main() -> Run:
        run = Run(replace(CONFIG, **change), tmp_path)
        async with asyncio.timeout(TIMEOUT):
            server = asyncio.create_task(run.serve())
            with pytest.raises(PrivacyError, match=message):
                await run.work("a", (0, 1, 2), limits=limits)
            await cancel(server)
        return run

    assert not any(event["event"] == "round" for event in asyncio.run(main()).events)


def test_notice_states_what_is_spent() -> None:
    run, codec = run_to_message(CONFIG, b"run"), parse("private_toy", 24)
    for limits, notice in (
        (Limits(Budget(100.0)), "of epsilon 100, 4.901 is spent in 2 pushes over all runs, 38 more fit"),
        (Limits(), "4.901 is spent in 2 pushes over all runs, no limit is set"),
    ):
        privacy = Privacy(limits, None)
        ledger = privacy.admit(run, codec, (0, 1))
        assert ledger is not None
        for round_ in range(2):
            ledger.spend(round_, {0: b"a", 1: b"b"})
        assert privacy.notice(codec) == f"each push costs epsilon {EPSILON:.4g}; {notice}"
        assert privacy.notice(parse("cross_polytope", 24)) is None


def test_private_codec_takes_system_coins() -> None:
    task = build_task(CONFIG.task, workers=3, seed=0)
    codec = parse("private_toy(repeats=20)", task.dim)
    # A seeded encoder repeats itself
    model = Model(task.initial(), parse_optimizer(CONFIG.optimizer))
    source = TaskGradient(task)
    drawn = {Encoder(source, codec, 0, (0,)).encode(model, 0).payloads for _ in range(3)}
    assert len(drawn) == 3
    plain = parse("cross_polytope(repeats=20)", task.dim)
    assert len({Encoder(source, plain, 0, (0,)).encode(model, 0).payloads for _ in range(3)}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"workers": 4},
        {"task": "least_squares(samples=96, dim=24)"},
        {"codec": "private_toy(repeats=2)"},
        {"feedback": "error"},
        {"local": "local(steps=2)", "optimizer": CONFIG.optimizer},
        {"partition": "iid"},
    ],
)
def test_server_cannot_change_data_assignment_within_a_run(tmp_path: Path, change: dict[str, Any]) -> None:
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
    with pytest.raises(PrivacyError, match="changed its codec, task, local steps or seed"):
        join(replace(CONFIG, **change))


@pytest.mark.parametrize(
    ("count", "wanted", "assigned"),
    [(1, [], [0, 1]), (2, [], [1]), (2, [], [1, 1]), (1, [3], [4]), (2, [3, 4], [3]), (1, [], [])],
)
def test_server_cannot_assign_other_workers(count: int, wanted: list[int], assigned: list[int]) -> None:
    with pytest.raises(PrivacyError, match="do not trust it"):
        check_assignment(wire_pb2.Join(count=count, workers=wanted), assigned)


def test_requested_assignment_is_accepted() -> None:
    check_assignment(wire_pb2.Join(count=2), [5, 9])
    check_assignment(wire_pb2.Join(count=1, workers=[4, 3]), [3, 4])
