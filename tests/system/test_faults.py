"""Faults in the middle of a run: whoever dies and comes back, the run ends with the bits it would have had."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import Unavailable
from gradwire.common.training.config import RunConfig
from gradwire.common.transport.statuses import error_of
from gradwire.worker.encoder import Encoder
from gradwire.worker.feedback_store import FeedbackStore
from gradwire.worker.replica import Replica
from gradwire.worker.tasks import build_task
from tests.system.harness import RawWorker, Run, simulate

CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)",
    codec="cross_polytope(repeats=9)",
    workers=3,
    rounds=12,
    digest_every=1,
)


class Rounds:
    """Events of a run, to be waited for."""

    def __init__(self) -> None:
        self._at: dict[int, asyncio.Event] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] == "round":
            self.committed(event["round"]).set()

    def committed(self, round_: int) -> asyncio.Event:
        return self._at.setdefault(round_, asyncio.Event())


async def cancel(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(
    "change",
    [
        {"downlink": "log"},
        {"downlink": "sum"},
        {"downlink": "model"},
        {"codec": "top_k(k=3)", "feedback": "error"},
    ],
    ids=lambda change: "-".join(change.values()),
)
def test_a_worker_that_dies_and_comes_back(change: dict[str, str], tmp_path: Path) -> None:
    config = replace(CONFIG, **change)

    async def main() -> dict[str, Any]:
        rounds = Rounds()
        run = Run(config, tmp_path, rounds)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            group.create_task(run.work("steady", (0, 1)))
            mortal = asyncio.create_task(run.work("mortal", (2,)))
            await rounds.committed(4).wait()
            await cancel(mortal)
            group.create_task(run.work("mortal", (2,)))
        return server.result()

    summary = asyncio.run(main())
    assert summary["digest"] == f"{simulate(config).digest:016x}"
    assert summary["replicas_agree"] and summary["predicted_equals_measured"] and summary["reconnects"] == 1


@pytest.mark.parametrize("downlink", ["log", "sum", "model"])
def test_a_server_that_dies_and_comes_back(downlink: str, tmp_path: Path) -> None:
    config = replace(CONFIG, downlink=downlink)

    async def main() -> dict[str, Any]:
        rounds = Rounds()
        run = Run(config, tmp_path, rounds)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            mortal = asyncio.create_task(run.serve())
            for i in range(3):
                group.create_task(run.work(f"w{i}", (i,)))
            await rounds.committed(5).wait()
            await cancel(mortal)
            again = Run(config, tmp_path)
            server = group.create_task(again.serve(await run.address))
        assert again.events[0]["round"] > 5
        return server.result()

    summary = asyncio.run(main())
    assert summary["digest"] == f"{simulate(config).digest:016x}"
    assert summary["replicas_agree"] and summary["predicted_equals_measured"]


def test_a_replica_that_differs_is_found_and_takes_the_servers_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = Replica.fold

    def damaged(self: Replica, entry: Any) -> int:
        size = fold(self, entry)
        if entry.round == 4 and self.model.dim == 24 and not hasattr(Replica, "was_damaged"):
            monkeypatch.setattr(Replica, "was_damaged", True, raising=False)
            self.model.round -= 1
            self.model.replace(self.model.params + np.float32(1))
        return size

    monkeypatch.setattr(Replica, "fold", damaged)

    async def main() -> tuple[Run, dict[str, Any]]:
        run = Run(CONFIG, tmp_path)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            for i in range(3):
                group.create_task(run.work(f"w{i}", (i,)))
        return run, server.result()

    run, summary = asyncio.run(main())
    assert summary["resyncs"] == 1 and summary["replicas_agree"]
    assert [e["round"] for e in run.events if e["event"] == "resync"] == [5]
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}"


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not wait long for those that never come back."""
    monkeypatch.setattr("gradwire.server.shutdown.FINISH_WAIT", 0.2)


@pytest.mark.usefixtures("short_wait")
def test_a_quorum_goes_on_without_a_straggler_and_tells_it_so(tmp_path: Path) -> None:
    config = replace(CONFIG, quorum=2, deadline=1.0, rounds=3)

    async def main() -> dict[str, Any]:
        rounds = Rounds()
        run = Run(config, tmp_path, rounds)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            group.create_task(run.work("steady", (0, 1)))
            straggler = RawWorker(await run.address)
            await straggler.join(config, "straggler", (2,))  # and then never pushes in time
            await rounds.committed(1).wait()
            await straggler.send(push=late_push(config))
            kinds = []
            while not kinds or kinds[-1] != "late":
                kinds.append((await straggler.receive()).WhichOneof("message"))
            await straggler.close()
        return server.result()

    summary = asyncio.run(main())
    assert summary["late"] == 1 and summary["replicas_agree"]
    assert summary["uplink"]["payload_bits"] == (3 * 2 + 1) * summary["payload_bits_per_push"]


def late_push(config: RunConfig) -> Any:
    from gradwire.common.codecs import parse
    from gradwire.proto import wire_pb2

    codec = parse(config.codec, 24)
    return wire_pb2.Push(round=0, payloads=codec.encode(np.ones(24), np.random.default_rng(0)))


def test_what_came_too_late_goes_back_into_the_memory() -> None:
    """Word of a late push comes after the entry, when the next payloads are made: nothing may be lost by that."""
    config = replace(CONFIG, codec="top_k(k=3)", workers=1)
    task = build_task(config.task, workers=1, seed=0)
    codec, params = parse(config.codec, task.dim), task.initial()
    memories = FeedbackStore(codec, b"", (0,), None)
    encoder = Encoder(task, codec, 0, (0,), memories)
    sent = [encoder.encode(params, r).payloads[0] for r in range(3)]
    assert encoder.add_back(1)
    assert not encoder.add_back(1)  # once
    gradients = sum(task.gradient(params, round=r, worker=0).value for r in range(3))
    counted = codec.decode(sent[0]) + codec.decode(sent[2])
    assert np.allclose(counted + memories._of[0].memory, gradients, atol=1e-4)


def test_a_restarted_worker_takes_back_once_what_was_lost_with_its_stream(tmp_path: Path) -> None:
    config = replace(CONFIG, codec="top_k(k=3)", workers=1)
    task = build_task(config.task, workers=1, seed=0)
    codec, params = parse(config.codec, task.dim), task.initial()

    def restarted() -> tuple[Encoder, FeedbackStore]:
        memories = FeedbackStore(codec, b"", (0,), tmp_path)
        return Encoder(task, codec, 0, (0,), memories), memories

    encoder, _ = restarted()
    for round_ in range(2):
        encoder.encode(params, round_)
    for once in (True, False):  # killed after the second push, told that it was not counted, and killed again
        encoder, memories = restarted()
        assert encoder.add_back(1) is once
    gradients = [task.gradient(params, round=r, worker=0).value for r in range(2)]
    first = codec.decode(codec.encode(gradients[0], np.random.default_rng(0)))
    assert np.allclose(first + memories._of[0].memory, sum(gradients), atol=1e-4)


@pytest.mark.usefixtures("short_wait")
def test_a_process_that_joins_hears_which_rounds_were_committed_without_it(tmp_path: Path) -> None:
    config = replace(CONFIG, workers=2, quorum=1, deadline=0.2, codec="top_k(k=3)", feedback="error")

    async def main() -> list[int]:
        rounds = Rounds()
        run = Run(config, tmp_path, rounds)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(run.serve())
            group.create_task(run.work("steady", (0,)))
            await rounds.committed(2).wait()
            late = RawWorker(await run.address)
            told = []
            await late.greet(config, "late", (1,))
            while (message := await late.receive()).WhichOneof("message") != "open":
                if message.HasField("late"):
                    told.append(message.late.round)
            await late.close()
        return told

    told = asyncio.run(main())
    assert told[:3] == [0, 1, 2] and told == list(range(len(told)))


def test_a_late_joiner_is_brought_up_to_date(tmp_path: Path) -> None:
    config = replace(CONFIG, quorum=2, deadline=0.2, rounds=40)

    async def main() -> dict[str, Any]:
        rounds = Rounds()
        run = Run(config, tmp_path, rounds)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            group.create_task(run.work("early", (0, 1)))
            await rounds.committed(3).wait()
            group.create_task(run.work("late", (2,)))
        return server.result()

    summary = asyncio.run(main())
    assert summary["replicas_agree"] and summary["replicas_checked"] == 2
    assert summary["predicted_equals_measured"]


def test_a_run_whose_bytes_are_not_as_predicted_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradwire.common.transport import traffic
    from gradwire.server.summary import failed_check
    from tests.system.harness import whole_run

    real = traffic.push_bytes
    monkeypatch.setattr(traffic, "push_bytes", lambda *a, **k: real(*a, **k) + 1)
    summary = whole_run(replace(CONFIG, rounds=2), tmp_path, [(0, 1, 2)])
    assert not summary["predicted_equals_measured"]
    assert "bytes are not those predicted" in str(failed_check(summary))


@pytest.mark.usefixtures("short_wait")
def test_a_reader_that_falls_behind_is_cut_off_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that never reads: the transport's window fills, then the outbox, and both are bounded."""
    monkeypatch.setattr("gradwire.server.stream.session.MAX_BACKLOG", 3)
    config = RunConfig(
        task="synthetic(dim=200000)",
        codec="float32",
        downlink="model",
        workers=2,
        rounds=60,
        quorum=1,
        deadline=0.1,
    )
    left: list[str] = []

    async def main() -> dict[str, Any]:
        run = Run(config, tmp_path, lambda e: left.append(e["process"]) if e["event"] == "left" else None)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            deaf = RawWorker(await run.address)
            await deaf.join(config, "deaf", (1,))  # and then it neither reads nor pushes
            group.create_task(run.work("steady", (0,)))
        await deaf.close()
        return server.result()

    summary = asyncio.run(main())
    assert left[0] == "deaf" and summary["replicas_agree"]


def test_a_worker_that_is_asked_for_the_model_and_says_nothing_does_not_hold_up_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradwire.server.stream.joining.UPLOAD_TIMEOUT", 0.3)
    config = replace(CONFIG, workers=2)

    async def main() -> dict[str, Any]:
        run = Run(config, tmp_path)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            silent = RawWorker(await run.address)
            assert await silent.greet(config, "silent", (0,)) == "upload"
            group.create_task(run.work("good", (1,)))
            code, details = await silent.refused()
            assert code is grpc.StatusCode.UNAVAILABLE and "no message within" in details
            await silent.close()
            group.create_task(run.work("silent", (0,)))
        return server.result()

    assert asyncio.run(main())["digest"] == f"{simulate(config).digest:016x}"


def test_many_streams_of_one_name_at_once_leave_one(tmp_path: Path) -> None:
    async def main() -> dict[str, Any]:
        run = Run(CONFIG, tmp_path)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            rivals = [RawWorker(await run.address) for _ in range(4)]
            answers = await asyncio.gather(
                *(r.greet(CONFIG, "one", (0,)) for r in rivals), return_exceptions=True
            )
            assert "upload" in answers  # the one that stayed was asked for the model
            told = [error_of(a) for a in answers if a != "upload"]
            # A write into a stream that was just cut is "Internal error from Core": workers try again then too.
            assert all(isinstance(e, Unavailable) or "from Core" in str(e) for e in told), told
            for rival in rivals:
                await rival.close()
            for i, name in enumerate(("one", "two", "three")):
                group.create_task(run.work(name, (i,)))
        return server.result()

    assert asyncio.run(main())["digest"] == f"{simulate(CONFIG).digest:016x}"
