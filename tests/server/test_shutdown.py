"""When the server may leave a finished run, by who has joined, left and sent Done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.training.config import RunConfig
from gradwire.common.training.record import RoundRecord
from gradwire.server.log.run_log import RunLog
from gradwire.server.shutdown import DONE_WAIT, FINISH_WAIT, Shutdown, all_checked
from gradwire.server.stream.session import Session

CONFIG = RunConfig(task="synthetic(dim=3)", codec="float32", workers=3, rounds=1)


class Stage:
    """A finished run of processes a (workers 0 and 1) and b (worker 2), and what its shutdown does."""

    def __init__(self, log: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log = log
        self.sessions: dict[int, Session] = {}
        self.events: list[dict[str, Any]] = []
        self.waits: list[float] = []
        self.shutdown = Shutdown(log, self.sessions, self.events.append)
        monkeypatch.setattr(self.shutdown, "_wait", self.waits.append)

    def join(self, process: str) -> None:
        number = len(self.sessions)
        self.sessions[number] = Session(number, process, (0,), None)  # type: ignore[arg-type]
        self.shutdown.rejoined(process)
        self.shutdown.update()

    def done(self, process: str, digest: int = 7) -> None:
        self.shutdown.record_done(process, digest)
        self.shutdown.update()

    def leave(self, process: str) -> None:
        for number in [n for n, session in self.sessions.items() if session.process == process]:
            del self.sessions[number]
        self.shutdown.disconnected(process)
        self.shutdown.update()

    @property
    def requested(self) -> bool:
        return self.shutdown.requested.is_set()


@pytest.fixture
def log(tmp_path: Path) -> Any:
    with RunLog.create(tmp_path, CONFIG, b"a run") as log:
        log.assign("a", (0, 1))
        log.assign("b", (2,))
        log.append(RoundRecord(0, (0, 1, 2), (b"",) * 3), None)
        yield log


def play(log: RunLog, monkeypatch: pytest.MonkeyPatch, act: Callable[[Stage], None]) -> None:
    async def main() -> None:
        act(Stage(log, monkeypatch))

    asyncio.run(main())


def test_the_server_leaves_once_every_process_has_sent_done(
    log: RunLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(stage: Stage) -> None:
        stage.join("a")
        stage.join("b")
        stage.done("a")
        assert not stage.requested and stage.shutdown.unchecked() == {2} and not all_checked(log)
        assert stage.waits == [DONE_WAIT] * 3 and not stage.events, "both are connected: nothing is announced"
        stage.done("b", 9)
        assert stage.requested and stage.shutdown.digests() == {"a": 7, "b": 9} and all_checked(log)

    play(log, monkeypatch, act)


def test_a_process_that_left_without_done_is_waited_for(log: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(stage: Stage) -> None:
        stage.join("b")
        stage.join("a")
        stage.done("a")
        stage.leave("b")
        assert stage.waits[-1] == FINISH_WAIT and not stage.requested
        assert stage.events == [{"event": "waiting", "seconds": FINISH_WAIT, "workers": [2]}]

    play(log, monkeypatch, act)


def test_a_restarted_server_knows_who_has_sent_done(log: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
    play(log, monkeypatch, lambda stage: stage.done("a"))

    def after(stage: Stage) -> None:
        assert stage.shutdown.unchecked() == stage.shutdown.missing() == {2}
        stage.done("b")
        assert stage.requested

    play(log, monkeypatch, after)


def test_the_done_of_a_process_that_rejoins_counts_anew(log: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(stage: Stage) -> None:
        stage.done("a")
        stage.join("a")
        assert stage.shutdown.unchecked() == {0, 1, 2}
        stage.done("a", 8)
        stage.leave("a")
        assert stage.shutdown.digests() == {"a": 8} and stage.shutdown.unchecked() == {2}

    play(log, monkeypatch, act)


def test_an_earlier_done_holds_for_a_process_that_leaves_without_another(
    log: RunLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(stage: Stage) -> None:
        stage.done("a")
        stage.done("b")
        stage = Stage(log, monkeypatch)
        stage.join("a")
        stage.leave("a")
        assert stage.shutdown.unchecked() == frozenset() and stage.shutdown.missing() == {0, 1}
        assert not stage.requested and stage.waits[-1] == FINISH_WAIT, "it may rejoin"

    play(log, monkeypatch, act)


def test_all_processes_of_a_finished_run_can_be_expected_again(
    log: RunLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(stage: Stage) -> None:
        for process in ("a", "b"):
            stage.shutdown.record_done(process, 7)
        stage.shutdown.expect_all()
        stage.shutdown.update()
        assert (
            stage.shutdown.missing() == {0, 1, 2} and not stage.shutdown.unchecked() and not stage.requested
        )
        stage.join("a")
        stage.done("a")
        assert stage.shutdown.missing() == {2}
        stage.join("b")
        stage.done("b")
        assert stage.requested

    play(log, monkeypatch, act)


def test_workers_that_moved_to_another_process_are_checked_there(
    log: RunLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(stage: Stage) -> None:
        stage.done("b")
        log.assign("a", (0, 1, 2))
        assert stage.shutdown.digests() == {} and stage.shutdown.unchecked() == {0, 1, 2}
        stage.done("a")
        assert stage.requested and stage.shutdown.digests() == {"a": 7}

    play(log, monkeypatch, act)


def test_a_run_that_is_not_finished_needs_its_workers(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "new", CONFIG, b"a run") as log:
        log.assign("a", (0, 1, 2))
        log.put("done a", f"{7:016x}")
        assert not all_checked(log)


def test_the_time_is_set_anew_and_can_be_cancelled(log: RunLog) -> None:
    async def main() -> None:
        shutdown = Shutdown(log, {}, lambda event: None)
        loop = asyncio.get_running_loop()
        shutdown.update()
        first = shutdown._timer
        assert first is not None and FINISH_WAIT - 5 < first.when() - loop.time() <= FINISH_WAIT
        shutdown.update()
        assert first.cancelled() and shutdown._timer is not None
        second = shutdown._timer
        shutdown.cancel()
        assert second.cancelled() and shutdown._timer is None and not shutdown.requested.is_set()

    asyncio.run(main())
