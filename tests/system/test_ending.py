"""The end of a run: every assigned worker sends Done, whichever end is killed just then, and no wait is unbounded."""

import asyncio
import gc
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
from gradwire.worker.process import WorkerProcess
from gradwire.worker.stream import Stream
from tests.system.conftest import FINISH_WAIT, SHORT
from tests.system.harness import TIMEOUT, Run, Watch, cancel, run_hosts, run_script, simulate, whole_run

CONFIG = RunConfig(
    task="least_squares(samples=32, dim=12)", codec="cross_polytope(repeats=3)", workers=2, rounds=3
)


async def one_after_the_other(run: Run, group: asyncio.TaskGroup) -> None:
    """The second process joins once the first has sent Done."""
    group.create_task(run.work("process-0", (0,)))
    await run.seen("waiting")
    await run.work("process-1", (1,))


class KilledError(Exception):
    """In place of kill -9."""


def test_worker_killed_between_finish_and_done_is_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, killed = Stream._finish, []

    async def die_once(self: Stream, rounds: int) -> None:
        if self._join.process == "killed" and not killed:
            killed.append(self)
            raise KilledError
        await finish(self, rounds)

    monkeypatch.setattr(Stream, "_finish", die_once)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("steady", (0,)))
        with pytest.raises(KilledError):
            await run.work("killed", (1,))
        await run.work("killed", (1,))

    summary, _ = run_script(CONFIG, tmp_path, script)
    assert summary["replicas_agree"] and summary["replicas_checked"] == 2 and failed_check(summary) is None
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}"


def test_no_worker_exits_before_all_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Container engines stop all workers once one has exited: the others may still be evaluating then."""
    finish, first_done, release = Stream._finish, asyncio.Event(), asyncio.Event()

    async def slowly(self: Stream, rounds: int) -> None:
        if self._join.process == "slow":
            await release.wait()
        await finish(self, rounds)
        first_done.set()

    monkeypatch.setattr(Stream, "_finish", slowly)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("slow", (0,)))
        quick = group.create_task(run.work("quick", (1,)))
        await first_done.wait()
        await asyncio.wait([quick], timeout=SHORT)  # nothing announces that it does not exit
        assert not quick.done()
        release.set()

    summary, _ = run_script(CONFIG, tmp_path, script)
    assert summary["replicas_checked"] == 2 and failed_check(summary) is None


def test_connections_close_without_garbage_collection(
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


def test_server_of_a_finished_run_exits_at_once(tmp_path: Path) -> None:
    before = whole_run(CONFIG, tmp_path, [(0,), (1,)])
    summary, run = run_hosts(CONFIG, tmp_path, [])
    assert run.events[0]["over"] and run.events[0]["round"] == run.events[0]["rounds"] == CONFIG.rounds
    assert summary["digest"] == before["digest"] and failed_check(summary) is None
    assert (summary["replicas_checked"], summary["processes"], summary["replicas_agree"]) == (2, 2, True)


def test_awaited_workers_of_a_finished_run_rejoin_and_exit(tmp_path: Path) -> None:
    before = whole_run(CONFIG, tmp_path, [(0,), (1,)])

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        await run.seen("waiting")
        for i in range(2):
            group.create_task(run.work(f"process-{i}", (i,)))

    summary, run = run_script(CONFIG, tmp_path, script, await_workers=True)
    assert not run.events[0]["over"] and run.events[1]["workers"] == [0, 1]
    assert [event["process"] for event in run.events if event["event"] == "joined"]
    assert summary["digest"] == before["digest"] and summary["replicas_checked"] == 2


@pytest.mark.parametrize("rejoins", [True, False])
def test_awaited_worker_killed_before_done_keeps_its_earlier_check(
    rejoins: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others have sent Done by then; the server waits a while for it to rejoin."""
    whole_run(CONFIG, tmp_path, [(0,), (1,)])
    finish, other_done, killed = Stream._finish, asyncio.Event(), []

    async def die_once(self: Stream, rounds: int) -> None:
        if self._join.process == "process-1" and not killed:
            await other_done.wait()
            killed.append(self)
            if not rejoins:
                monkeypatch.setattr(FINISH_WAIT, SHORT)
            raise KilledError
        await finish(self, rounds)
        other_done.set()

    monkeypatch.setattr(Stream, "_finish", die_once)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        await run.seen("waiting")
        group.create_task(run.work("process-0", (0,)))
        with pytest.raises(KilledError):
            await run.work("process-1", (1,))
        if rejoins:
            await run.work("process-1", (1,))

    summary, run = run_script(CONFIG, tmp_path, script, await_workers=True)
    awaited = [event["workers"] for event in run.events if event["event"] == "waiting"]
    assert awaited[0] == [0, 1] and awaited[-1] == [1]
    assert summary["replicas_checked"] == 2 and failed_check(summary) is None


@pytest.mark.usefixtures("short_wait")
def test_awaited_workers_that_stay_away_keep_their_earlier_check(tmp_path: Path) -> None:
    whole_run(CONFIG, tmp_path, [(0,), (1,)])
    summary, _ = run_hosts(CONFIG, tmp_path, [], await_workers=True)
    assert summary["replicas_checked"] == 2 and failed_check(summary) is None


def interrupted_at_the_end(folder: Path) -> None:
    """A finished run of two processes, killed before any Done has reached the server."""

    async def main() -> None:
        run = Run(CONFIG, folder)
        server = asyncio.create_task(run.serve())
        workers = [asyncio.create_task(run.work(f"process-{i}", (i,))) for i in range(2)]
        await run.committed(CONFIG.rounds - 1)
        for task in (server, *workers):
            task.cancel()
        await asyncio.wait([server, *workers])

    asyncio.run(main())


def test_restarted_server_of_a_finished_run_waits_for_every_done(tmp_path: Path) -> None:
    interrupted_at_the_end(tmp_path)
    summary, run = run_script(CONFIG, tmp_path, one_after_the_other)
    assert not run.events[0]["over"]
    assert summary["replicas_checked"] == 2 and failed_check(summary) is None


def test_run_with_unchecked_replicas_fails(tmp_path: Path, short_wait_after_join: Watch) -> None:
    interrupted_at_the_end(tmp_path)
    summary, run = run_hosts(CONFIG, tmp_path, [(0,)], watch=short_wait_after_join)
    assert not summary["replicas_agree"] and summary["workers_unchecked"] == 1
    assert "1 of 2 replicas were checked" in str(failed_check(summary))
    assert {"event": "waiting", "seconds": SHORT, "workers": [1]} in run.events


def test_fewer_processes_finish_what_more_began(tmp_path: Path) -> None:
    interrupted_at_the_end(tmp_path)
    summary, _ = run_hosts(CONFIG, tmp_path, [(0, 1)])
    assert (summary["processes"], summary["replicas_checked"], summary["replicas_agree"]) == (1, 1, True)


def test_finished_quorum_waits_for_late_workers(tmp_path: Path) -> None:
    """All rounds are committed before the other process has even joined; it is still let in."""
    config = replace(CONFIG, quorum=1, deadline=0.1)
    summary, _ = run_script(config, tmp_path, one_after_the_other)
    assert summary["replicas_checked"] == summary["processes"] == 2 and failed_check(summary) is None


@pytest.mark.usefixtures("short_wait")
def test_quorum_does_not_need_workers_that_never_join(tmp_path: Path) -> None:
    config = replace(CONFIG, quorum=1, deadline=0.1)
    summary, _ = run_hosts(config, tmp_path, [(0,)])
    assert summary["workers_unchecked"] == 1 and summary["replicas_agree"] and failed_check(summary) is None


def test_done_that_was_not_acknowledged_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is killed while Done is under way: the worker rejoins the next one, and only then exits."""
    done = Messages._done

    async def die(self: Messages, *args: Any) -> None:
        raise Unavailable("in place of a server that is killed here")

    async def main() -> dict[str, Any]:
        run, again = Run(CONFIG, tmp_path), Run(CONFIG, tmp_path)
        async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as group:
            monkeypatch.setattr(Messages, "_done", die)
            killed = asyncio.create_task(run.serve())
            worker = group.create_task(run.work("one", (0, 1)))
            await run.seen("left")
            await cancel(killed)
            monkeypatch.setattr(Messages, "_done", done)
            assert not worker.done()
            server = group.create_task(again.serve(await run.address))
        return server.result()

    assert asyncio.run(main())["replicas_checked"] == 1


def test_done_that_was_never_sent_is_retried_without_limit(
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


async def exit_without_answer(messages: Messages, *args: Any) -> None:
    """In place of Messages._done: the server ends without having acknowledged Done."""
    messages._run.shutdown.requested.set()
    raise Unavailable("gone")


def test_stopping_worker_does_not_reconnect_to_a_finished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = WorkerProcess._pause

    async def stopped_meanwhile(self: WorkerProcess, seconds: float) -> None:
        asyncio.get_running_loop().call_soon(self.stop_reconnecting)
        await pause(self, 2 * TIMEOUT)

    monkeypatch.setattr(Messages, "_done", exit_without_answer)
    monkeypatch.setattr("gradwire.worker.process.CONFIRM_FOR", 2 * TIMEOUT)
    monkeypatch.setattr(WorkerProcess, "_pause", stopped_meanwhile)
    summary = whole_run(CONFIG, tmp_path, [(0, 1)])
    assert summary["workers_unchecked"] == 2


def test_worker_of_a_finished_run_gives_up_on_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradwire.worker.process.CONFIRM_FOR", 0.1)
    monkeypatch.setattr(Messages, "_done", exit_without_answer)
    summary = whole_run(CONFIG, tmp_path, [(0, 1)])  # the worker exits without an error
    assert not summary["replicas_agree"]


def test_worker_whose_done_is_being_logged_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Coordinator.done

    async def look_meanwhile(self: Coordinator, session: Session, digest: int) -> None:
        self._update_shutdown()  # as if another process left while this Done is on its way to the disk
        await done(self, session, digest)

    monkeypatch.setattr(Coordinator, "done", look_meanwhile)
    summary, run = run_hosts(CONFIG, tmp_path, [(0,), (1,)])
    assert summary["replicas_checked"] == 2
    kinds = {event["event"] for event in run.events}
    assert "left" in kinds and "waiting" not in kinds
