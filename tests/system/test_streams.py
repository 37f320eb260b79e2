"""Streams that are blocked, disconnected or replaced; and a server whose log fails."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from gradwire.common.errors import LogError
from gradwire.common.training.config import RunConfig
from gradwire.server.log.run_log import RunLog
from gradwire.server.outgoing import OutgoingEntry
from gradwire.server.stream import session as sessions
from gradwire.server.stream.session import Session
from tests.system.harness import TIMEOUT, Run, run_script, simulate
from tests.system.raw_worker import RawWorker

CONFIG = RunConfig(
    task="least_squares(samples=32, dim=12)", codec="cross_polytope(repeats=3)", workers=2, rounds=6
)
LARGE = RunConfig(
    task="synthetic(dim=200000)",
    codec="float32",
    downlink="model",
    workers=2,
    rounds=30,
    quorum=1,
    deadline=0.1,
)


def test_process_rejoins_although_its_old_stream_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradwire.server.stream.service.FLUSH_SECONDS", 1000.0)
    monkeypatch.setattr("gradwire.server.serving.STOP_GRACE", 0.1)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        not_reading = RawWorker(await run.address)
        await not_reading.join(LARGE, "rejoins", (1,))  # and reads no more: a write to it soon blocks
        steady = group.create_task(run.work("steady", (0,)))
        await run.committed(10)
        group.create_task(run.work("rejoins", (1,)))
        await steady
        await not_reading.close()

    summary, _ = run_script(LARGE, tmp_path, script)
    assert summary["replicas_checked"] == 2 and summary["reconnects"] == 1


@pytest.mark.usefixtures("short_wait")
def test_process_that_does_not_read_is_disconnected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transport's window fills, then the outbox, and both are bounded."""
    monkeypatch.setattr("gradwire.server.stream.session.MAX_BACKLOG", 3)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        not_reading = RawWorker(await run.address)
        await not_reading.join(LARGE, "not reading", (1,))  # and it does not push either
        await run.work("steady", (0,))
        await not_reading.close()

    summary, run = run_script(LARGE, tmp_path, script)
    first_to_leave = next(event["process"] for event in run.events if event["event"] == "left")
    assert first_to_leave == "not reading" and summary["replicas_agree"]


def test_backlog_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_BACKLOG_BYTES", 1000)

    async def main() -> None:
        stream = asyncio.create_task(asyncio.Event().wait())
        session = Session(1, "slow", (0,), stream)  # type: ignore[arg-type]
        for _ in range(2):
            # One may be larger than the bound: it has to travel
            session.send_entry(OutgoingEntry((b"x" * 900,)))
        assert session.abort_reason is None and session.waiting_bytes == 1800
        session.send_entry(OutgoingEntry((b"x" * 10,)))
        assert (
            session.abort_reason
            == "this process is 2 messages of 1,800 bytes behind: join again and catch up"
        )
        await asyncio.wait([stream])
        assert stream.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize("method", ["append", "assign"])
def test_failing_log_ends_the_server_and_the_next_one_resumes(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = getattr(RunLog, method), 0

    def full_once(self: RunLog, *args: Any, **kwargs: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise LogError("run.db: database or disk is full; nothing was changed: make room and start again")
        real(self, *args, **kwargs)

    monkeypatch.setattr(RunLog, method, full_once)

    async def main() -> tuple[BaseException, dict[str, Any]]:
        run, again = Run(CONFIG, tmp_path), Run(CONFIG, tmp_path)
        async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as group:
            server = asyncio.create_task(run.serve())
            for i in range(2):
                group.create_task(run.work(f"w{i}", (i,)))
            await asyncio.wait([server])
            next_server = group.create_task(again.serve(await run.address))
        failure = server.exception()
        assert failure is not None
        return failure, next_server.result()

    failure, summary = asyncio.run(main())
    assert isinstance(failure, LogError) and "make room" in str(failure)
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}" and summary["replicas_agree"]


def test_worker_is_not_sent_details_of_a_failing_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise LogError("/secret/run.db: disk is full")

    monkeypatch.setattr(RunLog, "assign", full)

    async def main() -> tuple[grpc.StatusCode, str]:
        run = Run(replace(CONFIG, workers=1), tmp_path)
        async with asyncio.timeout(TIMEOUT):
            server = asyncio.create_task(run.serve())
            worker = RawWorker(await run.address)
            with pytest.raises(grpc.aio.AioRpcError):
                await worker.greet(CONFIG, "one", (0,))
            refused = await worker.refused()
            await worker.close()
            await asyncio.wait([server])
            assert isinstance(server.exception(), LogError)
        return refused

    code, details = asyncio.run(main())
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "cannot write its log" in details and "secret" not in details
