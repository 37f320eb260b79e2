"""Streams that get stuck, are cut or come back; and a server whose log fails."""

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
from tests.system.harness import RawWorker, Run, simulate

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


def test_a_process_comes_back_although_nobody_reads_its_old_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradwire.server.stream.service.FLUSH_SECONDS", 1000.0)
    monkeypatch.setattr("gradwire.server.serving.STOP_GRACE", 0.1)
    passed = asyncio.Event()

    async def main() -> dict[str, Any]:
        run = Run(LARGE, tmp_path, lambda e: passed.set() if e.get("round") == 10 else None)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            deaf = RawWorker(await run.address)
            await deaf.join(LARGE, "comes back", (1,))  # and reads no more: a write to it blocks soon
            group.create_task(run.work("steady", (0,)))
            await passed.wait()
            group.create_task(run.work("comes back", (1,)))
        await deaf.close()
        return server.result()

    summary = asyncio.run(main())
    assert summary["replicas_checked"] == 2 and summary["reconnects"] == 1


def test_a_backlog_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_BACKLOG_BYTES", 1000)

    async def main() -> None:
        stream = asyncio.create_task(asyncio.Event().wait())
        session = Session(1, "slow", (0,), stream)  # type: ignore[arg-type]
        for _ in range(2):
            session.send_entry(
                OutgoingEntry((b"x" * 900,))
            )  # one may be larger than the bound: it has to travel
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
def test_a_log_that_fails_ends_the_server_and_the_run_goes_on_with_the_next(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = getattr(RunLog, method), 0

    def full_once(self: RunLog, *words: Any, **more: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise LogError("run.db: database or disk is full; nothing was changed: make room and start again")
        real(self, *words, **more)

    monkeypatch.setattr(RunLog, method, full_once)

    async def main() -> tuple[BaseException, dict[str, Any]]:
        run, again = Run(CONFIG, tmp_path), Run(CONFIG, tmp_path)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
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


def test_a_worker_hears_of_a_failing_log_without_its_details(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*words: Any) -> None:
        raise LogError("/secret/run.db: disk is full")

    monkeypatch.setattr(RunLog, "assign", full)

    async def main() -> tuple[grpc.StatusCode, str]:
        run = Run(replace(CONFIG, workers=1), tmp_path)
        async with asyncio.timeout(30):
            server = asyncio.create_task(run.serve())
            worker = RawWorker(await run.address)
            with pytest.raises(grpc.aio.AioRpcError):
                await worker.greet(CONFIG, "one", (0,))
            told = await worker.refused()
            await worker.close()
            await asyncio.wait([server])
            assert isinstance(server.exception(), LogError)
        return told

    code, details = asyncio.run(main())
    assert (
        code is grpc.StatusCode.UNAVAILABLE and "cannot write its log" in details and "secret" not in details
    )
