"""The end of a run: everybody assigned is heard, whoever dies just then, and nobody waits for ever."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import Unavailable
from gradwire.common.training.config import RunConfig
from gradwire.proto import wire_pb2
from gradwire.server.coordinator import Coordinator
from gradwire.server.stream.messages import Messages
from gradwire.server.stream.session import Session
from gradwire.server.summary import failed_check
from gradwire.server.tcp.meter import TcpMeter
from gradwire.worker.process import CONFIRM_FOR, WorkerProcess
from gradwire.worker.stream import Stream
from tests.system.harness import Run, simulate, whole_run

CONFIG = RunConfig(
    task="least_squares(samples=32, dim=12)", codec="cross_polytope(repeats=3)", workers=2, rounds=3
)
SHORT = 0.3  # seconds, in place of those that the server waits for somebody to come back
Play = Callable[[Run, asyncio.TaskGroup], Awaitable[None]]


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradwire.server.shutdown.FINISH_WAIT", SHORT)


def played(config: RunConfig, folder: Path, play: Play) -> tuple[dict[str, Any], Run]:
    """The summary of a server beside which a play is played."""

    async def main() -> tuple[dict[str, Any], Run]:
        run = Run(config, folder)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            await play(run, group)
        return server.result(), run

    return asyncio.run(main())


async def one_after_the_other(run: Run, group: asyncio.TaskGroup) -> None:
    """The second process comes once the first has said its last word."""
    group.create_task(run.work("process-0", (0,)))
    await run.seen("waiting")
    await run.work("process-1", (1,))


class KilledError(Exception):
    """In place of kill -9."""


def test_a_worker_that_dies_between_finish_and_done_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, dead = Stream._finish, asyncio.Event()

    async def die_once(self: Stream, rounds: int) -> None:
        if self._join.process == "mortal" and not dead.is_set():
            raise KilledError
        await finish(self, rounds)

    monkeypatch.setattr(Stream, "_finish", die_once)

    async def play(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("steady", (0,)))
        with pytest.raises(KilledError):
            await run.work("mortal", (1,))
        dead.set()
        await run.work("mortal", (1,))

    summary, _ = played(CONFIG, tmp_path, play)
    assert summary["replicas_agree"] and summary["replicas_checked"] == 2 and failed_check(summary) is None
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}"


def test_nobody_leaves_before_the_last_word_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs containers stops them all once one has ended: the others may still be evaluating then."""
    finish, said, let = Stream._finish, asyncio.Event(), asyncio.Event()

    async def slowly(self: Stream, rounds: int) -> None:
        if self._join.process == "slow":
            await let.wait()
        await finish(self, rounds)
        said.set()

    monkeypatch.setattr(Stream, "_finish", slowly)

    async def play(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("slow", (0,)))
        quick = group.create_task(run.work("quick", (1,)))
        await said.wait()
        await asyncio.wait([quick], timeout=SHORT)
        assert not quick.done()
        let.set()

    summary, _ = played(CONFIG, tmp_path, play)
    assert summary["replicas_checked"] == 2 and failed_check(summary) is None


def test_connections_end_with_their_workers_and_not_with_a_collection_of_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, settled = TcpMeter.wait_closed, []

    def kept(self: TcpMeter, timeout_seconds: float) -> bool:
        settled.append(settle(self, timeout_seconds))
        return settled[-1]

    monkeypatch.setattr(TcpMeter, "wait_closed", kept)
    gc.collect()
    gc.disable()
    try:
        whole_run(CONFIG, tmp_path, [(0,), (1,)])
    finally:
        gc.enable()
    assert settled == [True]


def test_the_server_of_a_finished_run_leaves_at_once(tmp_path: Path) -> None:
    before = whole_run(CONFIG, tmp_path, [(0,), (1,)])

    async def nothing(run: Run, group: asyncio.TaskGroup) -> None:
        pass

    summary, run = played(CONFIG, tmp_path, nothing)
    assert run.events[0]["over"] and run.events[0]["round"] == run.events[0]["rounds"] == CONFIG.rounds
    assert summary["digest"] == before["digest"] and failed_check(summary) is None
    assert (summary["replicas_checked"], summary["processes"], summary["replicas_agree"]) == (2, 2, True)


def test_workers_of_a_finished_run_that_are_awaited_hear_so_and_all_leave(tmp_path: Path) -> None:
    before = whole_run(CONFIG, tmp_path, [(0,), (1,)])

    async def main() -> tuple[dict[str, Any], Run]:
        run = Run(CONFIG, tmp_path)
        run.await_workers = True
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            await run.seen("waiting")
            for i in range(2):
                group.create_task(run.work(f"process-{i}", (i,)))
        return server.result(), run

    summary, run = asyncio.run(main())
    assert not run.events[0]["over"] and run.events[1]["workers"] == [0, 1]
    assert [event["process"] for event in run.events if event["event"] == "joined"]
    assert summary["digest"] == before["digest"] and summary["replicas_checked"] == 2


@pytest.mark.parametrize("comes_again", [True, False])
def test_an_awaited_worker_that_dies_without_a_word_was_checked_before(
    comes_again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have said their last word by then; the server waits a while for it to come again."""
    whole_run(CONFIG, tmp_path, [(0,), (1,)])
    finish, said, died = Stream._finish, asyncio.Event(), []

    async def die_once(self: Stream, rounds: int) -> None:
        if self._join.process == "process-1" and not died:
            await said.wait()
            died.append(self)
            if not comes_again:
                monkeypatch.setattr("gradwire.server.shutdown.FINISH_WAIT", SHORT)
            raise KilledError
        await finish(self, rounds)
        said.set()

    monkeypatch.setattr(Stream, "_finish", die_once)

    async def main() -> dict[str, Any]:
        run = Run(CONFIG, tmp_path)
        run.await_workers = True
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            await run.seen("waiting")
            group.create_task(run.work("process-0", (0,)))
            with pytest.raises(KilledError):
                await run.work("process-1", (1,))
            if comes_again:
                await run.work("process-1", (1,))
        waited = [event["workers"] for event in run.events if event["event"] == "waiting"]
        assert waited[0] == [0, 1] and waited[-1] == [1]
        return server.result()

    summary = asyncio.run(main())
    assert summary["replicas_checked"] == 2 and failed_check(summary) is None


def test_awaited_workers_that_do_not_come_were_checked_before(tmp_path: Path, short_wait: None) -> None:
    whole_run(CONFIG, tmp_path, [(0,), (1,)])

    async def main() -> dict[str, Any]:
        run = Run(CONFIG, tmp_path)
        run.await_workers = True
        async with asyncio.timeout(10):
            return await run.serve()

    summary = asyncio.run(main())
    assert summary["replicas_checked"] == 2 and failed_check(summary) is None


def interrupted_at_the_end(folder: Path) -> None:
    """A finished run of two processes whose last words nobody has heard."""

    async def main() -> None:
        run = Run(CONFIG, folder, lambda e: over.set() if e.get("round") == CONFIG.rounds - 1 else None)
        over = asyncio.Event()
        server = asyncio.create_task(run.serve())
        workers = [asyncio.create_task(run.work(f"process-{i}", (i,))) for i in range(2)]
        await over.wait()
        for task in (server, *workers):
            task.cancel()
        await asyncio.wait([server, *workers])

    asyncio.run(main())


def test_a_restarted_finished_server_hears_everybody_not_just_the_first(tmp_path: Path) -> None:
    interrupted_at_the_end(tmp_path)

    summary, run = played(CONFIG, tmp_path, one_after_the_other)
    assert not run.events[0]["over"]
    assert summary["replicas_checked"] == 2 and failed_check(summary) is None


def test_a_run_whose_replicas_were_not_checked_fails(tmp_path: Path, short_wait: None) -> None:
    interrupted_at_the_end(tmp_path)

    async def only_one(run: Run, group: asyncio.TaskGroup) -> None:
        await run.work("process-0", (0,))

    summary, run = played(CONFIG, tmp_path, only_one)
    assert not summary["replicas_agree"] and summary["workers_unchecked"] == 1
    assert "1 of 2 replicas were checked" in str(failed_check(summary))
    assert {"event": "waiting", "seconds": SHORT, "workers": [1]} in run.events


def test_fewer_processes_can_end_what_more_began(tmp_path: Path) -> None:
    interrupted_at_the_end(tmp_path)

    async def one_hosts_all(run: Run, group: asyncio.TaskGroup) -> None:
        await run.work("process-0", (0, 1))

    summary, _ = played(CONFIG, tmp_path, one_hosts_all)
    assert (summary["processes"], summary["replicas_checked"], summary["replicas_agree"]) == (1, 1, True)


def test_a_quorum_that_is_done_waits_for_the_late(tmp_path: Path) -> None:
    """The rounds are over before the other process has even joined; it is still let in to hear so."""
    config = replace(CONFIG, quorum=1, deadline=0.1)

    summary, _ = played(config, tmp_path, one_after_the_other)
    assert summary["replicas_checked"] == summary["processes"] == 2 and failed_check(summary) is None


def test_a_quorum_does_not_need_those_who_never_come(tmp_path: Path, short_wait: None) -> None:
    config = replace(CONFIG, quorum=1, deadline=0.1)

    async def alone(run: Run, group: asyncio.TaskGroup) -> None:
        await run.work("early", (0,))

    summary, _ = played(config, tmp_path, alone)
    assert summary["workers_unchecked"] == 1 and summary["replicas_agree"] and failed_check(summary) is None


def test_a_last_word_that_was_not_confirmed_is_said_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is killed when Done is on its way: the worker comes back to the next one, and only then leaves."""
    done = Messages._done

    async def deaf(self: Messages, *words: Any) -> None:
        raise Unavailable("in place of a server that dies here")

    async def main() -> dict[str, Any]:
        left = asyncio.Event()
        run = Run(CONFIG, tmp_path, lambda e: left.set() if e["event"] == "left" else None)
        again = Run(CONFIG, tmp_path)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            monkeypatch.setattr(Messages, "_done", deaf)
            mortal = asyncio.create_task(run.serve())
            worker = group.create_task(run.work("one", (0, 1)))
            await left.wait()
            mortal.cancel()
            await asyncio.wait([mortal])
            monkeypatch.setattr(Messages, "_done", done)
            assert not worker.done()
            server = group.create_task(again.serve(await run.address))
        return server.result()

    assert asyncio.run(main())["replicas_checked"] == 1


def test_a_last_word_that_never_left_is_said_however_long_the_server_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradwire.worker.process.CONFIRM_FOR", 0.0)
    send, broken = Stream._send, []

    async def breaks_once(self: Stream, message: wire_pb2.FromWorker) -> None:
        if message.HasField("done") and not broken:
            broken.append(message)
            raise Unavailable("the connection broke")
        await send(self, message)

    monkeypatch.setattr(Stream, "_send", breaks_once)
    summary = whole_run(CONFIG, tmp_path, [(0, 1)])
    assert broken and summary["replicas_checked"] == 1 and failed_check(summary) is None


def test_a_worker_in_a_hurry_does_not_look_for_the_server_of_a_finished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = WorkerProcess._pause

    async def hurried(self: WorkerProcess, seconds: float) -> None:
        asyncio.get_running_loop().call_soon(self.stop_reconnecting)
        await pause(self, 2 * CONFIRM_FOR)

    async def gone(self: Messages, *words: Any) -> None:
        self._run.shutdown.requested.set()
        raise Unavailable("gone")

    monkeypatch.setattr(Messages, "_done", gone)
    monkeypatch.setattr(WorkerProcess, "_pause", hurried)

    async def play(run: Run, group: asyncio.TaskGroup) -> None:
        async with asyncio.timeout(CONFIRM_FOR / 2):
            await run.work("one", (0, 1))

    summary, _ = played(CONFIG, tmp_path, play)
    assert summary["workers_unchecked"] == 2


def test_a_worker_of_a_finished_run_does_not_look_for_its_server_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradwire.worker.process.CONFIRM_FOR", 0.1)

    async def gone(self: Messages, *words: Any) -> None:
        self._run.shutdown.requested.set()  # the server leaves without its answer
        raise Unavailable("gone")

    monkeypatch.setattr(Messages, "_done", gone)
    summary = whole_run(CONFIG, tmp_path, [(0, 1)])  # the worker ends without an error
    assert not summary["replicas_agree"]


def test_an_end_that_is_being_written_down_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, seen = Coordinator.done, []

    async def look_meanwhile(self: Coordinator, session: Session, digest: int) -> None:
        self._update_shutdown()  # as if somebody left while this one's last word is on its way to the disk
        await done(self, session, digest)

    monkeypatch.setattr(Coordinator, "done", look_meanwhile)

    async def main() -> dict[str, Any]:
        run = Run(CONFIG, tmp_path, lambda event: seen.append(event["event"]))
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            for i in range(2):
                group.create_task(run.work(f"process-{i}", (i,)))
        return server.result()

    assert asyncio.run(main())["replicas_checked"] == 2
    assert "left" in seen and "waiting" not in seen
