"""Who is named to evaluate, when an evaluation is settled, and which model is the best one then."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradwire.common.training.config import RunConfig
from gradwire.server.best import BestModel
from gradwire.server.commits import Commits
from gradwire.server.counters import Counters
from gradwire.server.evaluations import Evaluations
from gradwire.server.executor import RunExecutor
from gradwire.server.fold import Fold
from gradwire.server.log.run_log import RunLog
from gradwire.server.measures import SiteMetrics
from gradwire.server.rounds.events import Commit, Contribution
from gradwire.server.stream.session import Session
from tests.common.downlinks.rounds import record_of

DIM = 6
INITIAL = np.linspace(-1, 1, DIM, dtype=np.float32)
CONFIG = RunConfig(
    task="custom(a:b)", codec="cross_polytope(repeats=3)", workers=3, rounds=12, evaluate_every=2, keep_best="score"
)  # fmt: skip


class Server:
    """The evaluations of a run without a network; the server can be ended and started again."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder, self.events, self.failures = folder, list[dict[str, Any]](), list[BaseException]()
        self.log = RunLog.create(folder, replace(CONFIG, **changes), b"a run")
        fold = Fold(self.log)
        fold.begin(INITIAL.tobytes(), fold.codec_at(DIM))
        self.numbers = itertools.count()
        self._start(fold)
        self.reported = [fold.model.reported.tobytes()]

    def _start(self, fold: Fold) -> None:
        self.fold, self.sessions = fold, dict[int, Session]()
        self.counters = Counters.restored(None, self.log.metrics())
        self.best = BestModel(fold, self.events.append)
        self.executor = RunExecutor(self.failures.append)
        self.evaluations = Evaluations(
            fold, self.counters, self.best, self.executor, self.sessions, self.events.append
        )

    def restart(self) -> None:
        self.executor.close()
        self.log.close()
        self.log = RunLog.open(self.folder)
        self._start(Fold(self.log))

    def commit(self, rounds: int) -> None:
        for _ in range(rounds):
            self.fold.append(record_of(self.fold.codec, self.fold.model.round, (0, 1)))
            self.best.keep_if_due()
            self.reported.append(self.fold.model.reported.tobytes())

    def join(self, process: str, worker: int, *, evaluates: bool = True) -> Session:
        task = asyncio.current_task()
        assert task is not None
        session = Session(next(self.numbers), process, (worker,), task)
        self.sessions[session.number] = session
        self.log.assign(process, (worker,))
        self.evaluations.joined(session, evaluates=evaluates)
        return session

    def leave(self, session: Session) -> None:
        del self.sessions[session.number]

    async def report(self, session: Session, round_: int, score: float, examples: int = 1) -> None:
        await self.evaluations.note(session, round_, SiteMetrics({"score": score}, examples))

    def settled(self) -> list[tuple[int, float]]:
        return [(e["round"], e["metrics"]["score"]) for e in self.events if e["event"] == "metrics"]

    @property
    def kept(self) -> int | None:
        """The round whose parameters the log has as the best, bit for bit."""
        found = self.log.best()
        if found is None:
            return None
        assert found[1] == self.reported[found[0]]
        assert self.best.summary is not None and self.best.summary["round"] == found[0]
        return found[0]


def play(folder: Path, act: Callable[[Server], Awaitable[None]], **changes: Any) -> Server:
    server = Server(folder, **changes)

    async def main() -> None:
        await act(server)
        server.executor.close()

    asyncio.run(main())
    assert not server.failures
    return server


def named(server: Server) -> list[str]:
    """Processes that were sent Evaluate."""
    return [s.process for s in server.sessions.values() if s.named and not s.outbox.empty()]


# ---- who evaluates -------------------------------------------------------------------------------------------


def test_lowest_worker_id_is_named_and_another_one_once_it_has_left(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        evaluations = server.evaluations
        sessions = [server.join(f"p{k}", k, evaluates=False) for k in (2, 0, 1)]
        evaluations.name_one()
        evaluations.name_one()
        assert named(server) == ["p0"] and sessions[1].outbox.qsize() == 1
        server.leave(sessions[1])
        evaluations.name_one()
        assert named(server) == ["p1"]
        server.join("p0", 0, evaluates=False)
        evaluations.name_one()
        assert named(server) == ["p1"], "it goes on until it leaves"

    play(tmp_path, act)


def test_nobody_is_named_where_sites_evaluate_for_themselves(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        server.join("without test data", 0, evaluates=False)
        site = server.join("with", 1)
        server.evaluations.name_one()
        assert named(server) == []
        server.leave(site)
        server.evaluations.name_one()
        assert named(server) == ["without test data"]

    play(tmp_path, act)


def test_after_the_end_another_one_is_named_until_the_final_model_is_evaluated(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        server.commit(12)
        first, second = (server.join(f"p{k}", k, evaluates=False) for k in (0, 1))
        server.evaluations.name_one(over=True)
        assert named(server) == ["p0"]
        first.done = True  # its report was lost
        server.evaluations.name_one(over=True)
        assert named(server) == ["p0", "p1"]
        await server.report(second, 12, 0.5)
        server.join("p2", 2, evaluates=False)
        server.evaluations.name_one(over=True)
        assert named(server) == ["p0", "p1"]
        assert server.evaluations.summary["metrics"] == {"score": 0.5} and server.evaluations.warning is None

    play(tmp_path, act)


# ---- reports -------------------------------------------------------------------------------------------------


def test_evaluation_is_settled_once_every_connected_site_has_reported(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        a, b = server.join("a", 0), server.join("b", 1)
        await server.report(a, 0, 0.5, 100)
        assert server.settled() == [] and server.kept is None
        await server.report(b, 0, 1.0, 300)
        assert server.settled() == [(0, 0.875)] and server.kept == 0
        event = server.events[-1]
        assert event == {
            "event": "metrics", "round": 0, "metrics": {"score": 0.875}, "metrics_min": {"score": 0.5},
            "metrics_max": {"score": 1.0}, "sites_evaluated": 2, "sites_evaluating": 2,
            "sites": {"a": {"examples": 100, "metrics": {"score": 0.5}},
                      "b": {"examples": 300, "metrics": {"score": 1.0}}},
        }  # fmt: skip

    play(tmp_path, act)


def test_report_counts_once_per_site_and_round(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        a, b = server.join("a", 0), server.join("b", 1)
        for score in (0.5, 0.75):
            await server.report(a, 0, score)
        await server.report(b, 0, 1.0)
        await server.report(b, 0, 0.0)
        assert server.settled() == [(0, 0.75)]

    play(tmp_path, act)


def test_report_for_a_later_round_settles_the_earlier_one_and_a_late_one_changes_it(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        a, b = server.join("a", 0), server.join("b", 1)
        server.commit(4)
        await server.report(a, 2, 0.5)
        await server.report(a, 4, 0.25)
        assert server.settled() == [(2, 0.5)] and server.kept == 2
        await server.report(b, 2, 1.0)
        assert server.settled() == [(2, 0.5), (2, 0.75)]
        await server.evaluations.settle()
        await server.evaluations.settle()
        assert server.settled()[2:] == [(4, 0.25)] and server.evaluations.summary["sites"]["b"]["round"] == 2

    play(tmp_path, act)


def test_late_report_changes_the_mean_at_once_whoever_else_is_late(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        a, b, _ = server.join("a", 0), server.join("b", 1), server.join("c", 2)
        server.commit(4)
        await server.report(a, 2, 0.5)
        await server.report(a, 4, 0.25)
        await server.report(b, 2, 1.0)
        assert server.settled() == [(2, 0.5), (2, 0.75)]
        await server.evaluations.settle()
        assert server.settled()[2:] == [(4, 0.25)]

    play(tmp_path, act)


@pytest.mark.parametrize("opted", [False, True])
def test_commit_keeps_no_more_of_single_sites_than_a_report_does(opted: bool, tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        a = server.join("a", 0)
        await server.report(a, 0, 0.5, 0)
        tcp: Any = SimpleNamespace(recent=lambda: (None, None))
        commits = Commits(server.fold, server.counters, tcp, server.executor, server.best)
        notes = commits._notes(Commit(0, (Contribution(0, b""),)), ())
        assert notes.measured == server.log.metrics()[0]
        assert notes.measured["sites"] == {"a": SITE if opted else {}}

    play(tmp_path, act, codec="private_top(epsilon=1)", report_metrics=opted, keep_best="")


def test_run_has_no_more_sites_than_workers(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        for k in range(50):
            session = server.join(f"name {k}", 0)
            await server.report(session, 0, float(k))
            server.leave(session)
        assert len(server.counters.point(0).sites) == CONFIG.workers
        assert server.evaluations.summary["sites_evaluating"] <= 2 * CONFIG.workers

    play(tmp_path, act)


# ---- the best model ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
def test_late_report_may_give_the_first_place_back(restarted: bool, tmp_path: Path) -> None:
    """Round 4 was best on the site that had reported; with the other one, round 2 is: its bits are kept again."""

    async def act(server: Server) -> None:
        a, b = server.join("a", 0), server.join("b", 1)
        server.commit(6)
        for session in (a, b):
            await server.report(session, 2, 0.75)
        await server.report(a, 4, 1.0)
        assert server.kept == 2, "not settled"
        await server.report(a, 6, 0.0)
        assert server.kept == 4
        if restarted:
            server.restart()
            a, b = server.join("a", 0), server.join("b", 1)
            assert server.kept == 4
        await server.report(b, 4, 0.0)
        assert server.kept == 2
        assert server.best.summary == {"metric": "score", "round": 2, "value": 0.75}
        server.restart()
        assert server.kept == 2 and server.best.summary == {"metric": "score", "round": 2, "value": 0.75}

    play(tmp_path, act)


def test_late_report_may_leave_the_best_one_best_with_another_value(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        a, b = server.join("a", 0), server.join("b", 1)
        server.commit(6)
        for session in (a, b):
            await server.report(session, 2, 0.25)
        for round_ in (4, 6):
            await server.report(a, round_, 1.0 - round_ / 8)
        await server.report(b, 4, 1.0)
        assert server.kept == 4 and server.best.summary is not None
        assert server.best.summary["value"] == 0.75
        await server.evaluations.settle()
        assert server.kept == 4

    play(tmp_path, act)


def test_best_model_is_decided_at_the_end_on_those_that_have_reported(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        a, _ = server.join("a", 0), server.join("b", 1)
        server.commit(12)
        await server.report(a, 12, 0.5)
        assert server.kept is None
        await server.evaluations.settle()
        assert server.kept == 12 and server.settled() == [(12, 0.5)]
        summary = server.evaluations.summary
        assert (summary["sites_evaluated"], summary["sites_evaluating"]) == (1, 2)

    play(tmp_path, act)


def test_settled_by_a_server_that_ended_is_decided_by_the_next(tmp_path: Path) -> None:
    """The first server has one of two reports; the next one gets the other, and announces what it got alone."""

    async def act(server: Server) -> None:
        a, b = server.join("a", 0), server.join("b", 1)
        server.commit(4)
        await server.report(a, 2, 0.5, 100)
        server.restart()
        assert server.kept is None and not server.settled()
        a, b = server.join("a", 0), server.join("b", 1)
        await server.report(a, 2, 0.125)  # repeated: the first one counts
        await server.report(b, 2, 1.0, 300)
        assert server.settled() == [(2, 0.875)] and server.kept == 2

    play(tmp_path, act)


def test_value_that_is_not_a_number_gives_up_the_first_place(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        a, b = server.join("a", 0), server.join("b", 1)
        server.commit(6)
        for session in (a, b):
            await server.report(session, 2, 0.25)
        for round_ in (4, 6):
            await server.report(a, round_, 1.0 - round_ / 8)
        assert server.kept == 4
        await server.report(b, 4, math.nan)
        assert server.kept == 2

    play(tmp_path, act)


SITE = {"examples": None, "metrics": {"score": 0.5}}


# ---- what is shown -------------------------------------------------------------------------------------------


def test_private_run_shows_single_sites_only_if_the_server_has_opted_in(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        a, b = server.join("a", 0), server.join("b", 1)
        await server.report(a, 12, 0.5, 0)
        assert server.log.metrics()[12]["sites"] == ({"a": SITE} if opted else {"a": {}})
        await server.report(b, 12, 1.0, 0)
        summary = server.evaluations.summary
        assert summary["metrics"] == {"score": 0.75} and summary["sites_evaluated"] == 2
        assert (
            bool(summary["sites"])
            is bool(summary["metrics_min"])
            is bool(server.events[-1]["sites"])
            is opted
        )
        server.restart()
        again = server.evaluations.summary
        assert (
            again["metrics"] == {"score": 0.75} and again["sites_evaluated"] == again["sites_evaluating"] == 2
        )
        late = server.join("c", 2)
        await server.report(late, 12, 0.0)
        assert server.evaluations.summary["metrics"] == {"score": 0.5 if opted else 0.75}

    for opted in (False, True):
        play(tmp_path / str(opted), act, codec="private_top(epsilon=1)", report_metrics=opted, keep_best="")


def test_outcome_is_of_the_final_model_alone(tmp_path: Path) -> None:
    async def act(server: Server) -> None:
        assert server.evaluations.warning is None and server.evaluations.summary["metrics_round"] is None
        a = server.join("a", 0)
        server.commit(12)
        await server.report(a, 10, 0.5, 7)
        summary = server.evaluations.summary
        assert summary["metrics"] == summary["metrics_min"] == summary["metrics_max"] == {}
        assert (summary["metrics_round"], summary["last_metrics"]) == (10, {"score": 0.5})
        assert summary["sites"] == {"a": {"examples": 7, "metrics": {"score": 0.5}, "round": 10}}
        assert server.evaluations.warning == (
            "the final model was not evaluated: the last evaluation, by a, was after round 10 of 12"
        )
        await server.report(a, 12, 0.25)
        assert server.evaluations.summary["metrics"] == {"score": 0.25} and server.evaluations.warning is None

    play(tmp_path, act)
