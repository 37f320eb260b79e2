"""Runs whose processes join late, leave and come back, and memories that last however long that takes."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import FailedPrecondition
from gradwire.common.training.config import RunConfig
from gradwire.common.training.model import Model
from gradwire.server.summary import failed_check
from gradwire.worker.encoder import EncodedRound, Encoder
from tests.system.cohorts import ProcessGate, recomputed, records_of
from tests.system.harness import Run, cancel, run_script
from tests.system.test_cohorts import MEMORIES

CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)",
    codec="cross_polytope(repeats=20)",
    workers=5,
    min_workers=2,
    rounds=14,
    digest_every=2,
    seed=3,
)


def check(
    summary: dict[str, Any],
    config: RunConfig,
    folder: Path,
    lost: Mapping[int, tuple[int, ...]] | None = None,
) -> None:
    assert failed_check(summary) is None, summary
    assert summary["predicted_equals_measured"]
    assert summary["digest"] == f"{recomputed(config, folder, lost or {}).digest:016x}"


@pytest.mark.parametrize("downlink", ["log", "sum", "model"])
def test_a_late_joiner_takes_part_from_the_next_round(
    downlink: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the two ids that no process ever has: not at the start, nor at the end."""
    config = replace(CONFIG, downlink=downlink, codec="float32")

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        gate = ProcessGate(monkeypatch, "a", 4)
        group.create_task(run.work("a", (0,)))
        group.create_task(run.work("b", (1,)))
        await gate.held.wait()
        group.create_task(run.work("late", (3,)))
        await run.joined("late")
        gate.release()

    summary, run = run_script(config, tmp_path, script)
    check(summary, config, tmp_path)
    joined = [record.workers for record in records_of(tmp_path)]
    assert joined == [(0, 1)] * 5 + [(0, 1, 3)] * 9
    assert summary["replicas_checked"] == 3 and summary["workers_unchecked"] == 0
    rows = [event for event in run.events if event["event"] == "joined"]
    assert {(row["least"], row["expected"]) for row in rows} == {(2, 5)}


@pytest.mark.usefixtures("short_wait")
def test_a_process_leaves_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        gate = ProcessGate(monkeypatch, "leaving", 5)
        group.create_task(run.work("a", (0, 1)))
        leaving = asyncio.create_task(run.work("leaving", (2,)))
        await gate.held.wait()
        await cancel(leaving)
        await run.seen("left")
        gate.release()

    summary, _ = run_script(CONFIG, tmp_path, script)
    check(summary, CONFIG, tmp_path)
    late = [record.workers for record in records_of(tmp_path)][5:]
    assert late == [(0, 1)] * 9
    assert summary["workers_unchecked"] == 1 and summary["replicas_agree"], "as many as MIN were checked"


def test_below_min_the_run_waits_and_keeps_what_was_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, **MEMORIES["feedback"])

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        gate = ProcessGate(monkeypatch, "leaving", 5)
        group.create_task(run.work("stays", (0,)))
        leaving = asyncio.create_task(run.work("leaving", (1,)))
        await gate.held.wait()
        await cancel(leaving)
        await run.seen("left")
        gate.release()
        assert run.events[-1]["event"] == "left", "no round commits"
        group.create_task(run.work("another", (4,)))
        await run.committed(8)
        group.create_task(run.work("leaving", (1,)))

    summary, _ = run_script(config, tmp_path, script)
    check(summary, config, tmp_path, lost={5: (1,)})
    workers = [record.workers for record in records_of(tmp_path)]
    assert workers[:6] == [(0, 1)] * 5 + [(0, 4)]


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "not counted"])
@pytest.mark.parametrize("change", MEMORIES.values(), ids=MEMORIES)
def test_a_site_that_is_away_for_thirty_rounds_continues(
    change: dict[str, str], counted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after its push of round 6, which was counted or was not, it comes back to what it remembers."""
    config = replace(
        CONFIG,
        workers=3,
        min_workers=0,
        quorum=2,
        deadline=250.0,
        rounds=48,
        digest_every=1,
        downlink="log",
        **change,
    )

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        site_gate, last_gate = ProcessGate(monkeypatch, "site", 6), ProcessGate(monkeypatch, "steady", 40)
        group.create_task(run.work("steady", (0, 1)))
        site = asyncio.create_task(run.work("site", (2,)))
        await site_gate.held.wait()
        if counted:
            site_gate.release()
            await run.committed(6)
        await cancel(site)
        await run.seen("left")
        site_gate.release()
        await last_gate.held.wait()
        group.create_task(run.work("site", (2,)))
        await run.joined("site", times=2)
        last_gate.release()

    summary, _ = run_script(config, tmp_path, script)
    workers = [2 in record.workers for record in records_of(tmp_path)]
    if not counted:
        assert workers == [True] * 6 + [False] * 34 + [True] * 8
        check(summary, config, tmp_path, lost={6: (2,)})
    else:
        away = workers.index(False)
        assert 7 <= away <= 10 and workers == [True] * away + [False] * (40 - away) + [True] * 8
        check(summary, config, tmp_path, lost=lost_after(config, tmp_path, away))


@pytest.mark.parametrize("change", MEMORIES.values(), ids=MEMORIES)
def test_a_worker_knows_before_the_next_round_that_its_push_came_too_late(
    change: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pushes wait on their way while rounds commit at the deadline: each is taken back before the next is made."""
    config = replace(
        CONFIG, workers=3, min_workers=0, quorum=2, deadline=0.2, rounds=14, downlink="log", **change
    )
    encode, encoded = Encoder.encode, []

    def noted(
        self: Encoder, model: Model, round_: int, workers: Collection[int] | None = None
    ) -> EncodedRound:
        if self.workers == (2,):
            encoded.append(round_)
        return encode(self, model, round_, workers)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        gate = ProcessGate(monkeypatch, "slow", 3)
        group.create_task(run.work("steady", (0, 1)))
        group.create_task(run.work("slow", (2,)))
        await gate.held.wait()
        await run.committed(7)
        gate.release()

    monkeypatch.setattr(Encoder, "encode", noted)
    summary, _ = run_script(config, tmp_path, script)
    rounds = set(encoded)
    monkeypatch.setattr(Encoder, "encode", encode)
    lost = {r.round: (2,) for r in records_of(tmp_path) if r.round in rounds and 2 not in r.workers}
    assert {3, 4, 5} <= lost.keys() and summary["late"] >= 3
    check(summary, config, tmp_path, lost)


def lost_after(config: RunConfig, folder: Path, away: int) -> dict[int, tuple[int, ...]]:
    """The push that the killed site may have made and lost, by what it pushed when it came back."""
    for lost in ({}, {away: (2,)}):
        try:
            recomputed(config, folder, lost)
        except AssertionError:
            continue
        return lost
    raise AssertionError("the site came back to other memories")


@pytest.mark.usefixtures("short_wait")
def test_where_sites_hold_data_ids_stay_with_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, workers=3, min_workers=1)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        gate = ProcessGate(monkeypatch, "steady", 3)
        group.create_task(run.work("steady", (0,)))
        away = asyncio.create_task(run.work("away", (1,)))
        await gate.held.wait()
        await cancel(away)
        await run.seen("left")
        with pytest.raises(
            FailedPrecondition, match=r"worker 1 stays with away, .*start that site again with --name away"
        ):
            await run.work("stranger", (1,))
        with pytest.raises(
            FailedPrecondition, match=r"2 workers asked for, 1 of the run's 3 are free; .* \(away\)"
        ):
            await run.work("stranger", (), count=2)
        group.create_task(run.work("another", (), count=1))
        await run.joined("another")
        gate.release()

    summary, run = run_script(config, tmp_path, script, own_data=True)
    assert failed_check(summary) is None
    hosts = {event["process"]: event["workers"] for event in run.events if event["event"] == "joined"}
    assert hosts == {"steady": [0], "away": [1], "another": [2]}
