"""Watching a run over the wire: what is shown, and that the run does not notice."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gradwire.common.codecs import registry
from gradwire.common.errors import FailedPrecondition, NotFiniteError, Unauthenticated, Unavailable, WireError
from gradwire.common.training.config import RunConfig
from gradwire.common.transport import protocol
from gradwire.common.transport.address import parse_address
from gradwire.common.transport.options import channel_options
from gradwire.common.transport.statuses import wire_errors
from gradwire.common.transport.tls import WorkerTls
from gradwire.deploy.watching.client import Client
from gradwire.proto import wire_pb2
from gradwire.server.watching import watchers
from gradwire.worker.encoder import Encoder
from gradwire.worker.privacy import Limits
from gradwire.worker.site import Site
from tests.common.codecs.toys import PrivateToy
from tests.system import test_evaluation as evaluation
from tests.system.fault_injection import PushGate
from tests.system.harness import TIMEOUT, Run, cancel, run_script, simulate
from tests.system.raw_worker import RawWorker
from tests.system.test_evaluation import sites as sites  # a fixture
from tests.system.test_tls import CA, server, worker

CONFIG = RunConfig(task="least_squares(samples=64, dim=24)", workers=4, rounds=30)
HOSTS = {"alice": (0, 1), "bob": (2, 3)}
CONNECTIONS = 1  # of all workers of this process: gRPC shares them
Events = list[dict[str, Any]]


async def client(run: Run, *, tls: WorkerTls | None = None, retry_for: float = TIMEOUT) -> Client:
    address = parse_address(await run.address)
    return Client(lambda: address, tls, retry_for, retry_for, say=lambda _: None)


async def watched(
    run: Run, seen: Events, reached: Callable[[Events], bool] | None = None, **options: Any
) -> None:
    """Watch into a list, until the outcome or until a condition holds."""
    events: AsyncIterator[dict[str, Any]] = (await client(run, **options)).events()
    async for event in events:
        seen.append(event)
        if reached is not None and reached(seen):
            break
    await events.aclose()  # type: ignore[attr-defined]


async def started(run: Run, seen: Events, group: asyncio.TaskGroup, **options: Any) -> None:
    """A watcher that has got the state."""
    there = asyncio.Event()

    def note(events: Events) -> bool:
        there.set()
        return False

    group.create_task(watched(run, seen, note, **options))
    await there.wait()


def workers(run: Run, group: asyncio.TaskGroup, **options: Any) -> None:
    for name, ids in HOSTS.items():
        group.create_task(run.work(name, ids, **options))


def kinds(events: Events) -> list[str]:
    return [event["event"] for event in events]


def test_three_watchers_change_no_byte_of_the_run(tmp_path: Path) -> None:
    seen: list[Events] = [[], [], []]

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for events in seen:
            await started(run, events, group)
        workers(run, group)

    summary, _ = run_script(CONFIG, tmp_path, script)
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}"
    assert summary["predicted_equals_measured"] and summary["replicas_agree"]
    assert summary["tcp"]["connections"] == CONNECTIONS and summary["tcp"]["complete"]
    for direction in ("uplink", "downlink"):
        bytes_ = summary[direction]
        assert bytes_["message_bytes"] < bytes_["tcp_bytes"] < bytes_["message_bytes"] + 31 * 120
        assert 0 < bytes_["tcp_bytes_joining"] < 4000
    for events in seen:
        assert kinds(events)[0] == "state" and kinds(events).count("finished") == 1
        last = events[-1]["summary"]
        assert last["digest"] == summary["digest"] and last["uplink"] == summary["uplink"]
        rounds = [event["round"] for event in events if event["event"] == "round"]
        assert rounds == sorted(rounds) and rounds[-1] == CONFIG.rounds - 1


def test_a_connection_that_carries_a_worker_too_is_counted(tmp_path: Path) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        address = await run.address
        workers(run, group)
        # The workers' own connection, which is shared within a process: the options are the same.
        channel = grpc.aio.insecure_channel(address, channel_options())
        await run.committed(3)
        call = channel.unary_stream(protocol.WATCH)(
            wire_pb2.WatchRequest(protocol=protocol.PROTOCOL).SerializeToString()
        )
        async for _ in call:
            pass
        await channel.close()

    summary, _ = run_script(CONFIG, tmp_path, script)
    assert summary["uplink"]["tcp_bytes"] > summary["uplink"]["message_bytes"]
    assert summary["downlink"]["tcp_bytes"] > summary["downlink"]["message_bytes"]


def test_a_watcher_that_comes_late_gets_the_state(tmp_path: Path, gate: PushGate) -> None:
    seen: Events = []

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        gate.hold(20)
        workers(run, group)
        await run.committed(19)
        await watched(run, seen, lambda events: True)
        gate.release()

    run_script(CONFIG, tmp_path, script)
    (state,) = seen
    assert (state["round"], state["rounds"], state["finished"]) == (20, 30, False)
    assert state["live"] == {"alice": 2, "bob": 2} and state["task"] == CONFIG.task
    assert [row["round"] for row in state["history"]] == list(range(20))
    assert state["loss"] == state["history"][-1]["loss"] and state["metrics"]
    assert state["uplink_bytes"] > 0 and state["seconds"] > 0


def test_who_is_waited_for_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradwire.server.watching.pending.MOMENT", 0.0)
    monkeypatch.setattr(watchers, "LOOK_EVERY", 0.01)
    seen: Events = []

    def is_pending(events: Events) -> bool:
        return events[-1]["event"] == "pending" and events[-1]["processes"] == ["bob"]

    encode, released = Encoder.encode, threading.Event()

    def slow(self: Encoder, *args: Any) -> Any:
        if self.workers == HOSTS["bob"]:
            assert released.wait(TIMEOUT)
        return encode(self, *args)

    monkeypatch.setattr(Encoder, "encode", slow)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        workers(run, group)
        await watched(run, seen, is_pending)
        released.set()

    _, run = run_script(CONFIG, tmp_path, script)
    event = seen[-1]
    assert (event["workers"], event["more"]) == (2, 0) and event["seconds"] >= 0
    assert any(event["event"] == "pending" for event in run.events)  # to whatever else reads the events, too


def test_a_watcher_that_does_not_read_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_text, queued = watchers.as_text, []

    def padded(event: dict[str, Any]) -> str:
        return as_text(event) + " " * 900_000  # a few of them fill what gRPC takes on for a peer

    put = watchers.Watcher.put

    def noted(self: watchers.Watcher, event: dict[str, Any]) -> None:
        put(self, event)
        queued.append(len(self.queue))

    monkeypatch.setattr(watchers, "as_text", padded)
    monkeypatch.setattr(watchers.Watcher, "put", noted)
    monkeypatch.setattr(watchers, "EVERY", 0.0)
    monkeypatch.setattr(watchers, "QUEUED", 3)
    config, seen = RunConfig(task=CONFIG.task, workers=4, rounds=300, evaluate_every=1), Events()

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        address = await run.address
        channel = grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        call = channel.unary_stream(protocol.WATCH)(request())
        await call.wait_for_connection()
        await started(run, seen, group)
        workers(run, group)
        await run.committed(299)
        call.cancel()
        await channel.close()

    summary, _ = run_script(config, tmp_path, script)
    assert summary["predicted_equals_measured"] and summary["digest"] == f"{simulate(config).digest:016x}"
    assert max(queued) == 3  # full, and no fuller
    assert kinds(seen)[-1] == "finished"


def test_a_watcher_stays_through_a_restart_of_the_server(tmp_path: Path) -> None:
    seen: Events = []

    async def main() -> None:
        first, again = Run(CONFIG, tmp_path), Run(CONFIG, tmp_path)
        async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as group:
            server_task = asyncio.create_task(first.serve())
            await started(first, seen, group)
            workers(first, group)
            await first.committed(9)
            await cancel(server_task)
            group.create_task(again.serve(await first.address))

    asyncio.run(main())
    states = [event for event in seen if event["event"] == "state"]
    assert states[0]["round"] == 0 and states[-1]["round"] >= 10
    assert kinds(seen)[-1] == "finished"


def test_a_server_that_disappears_is_given_up(tmp_path: Path) -> None:
    async def main() -> None:
        run, seen, there = Run(CONFIG, tmp_path), Events(), asyncio.Event()

        def note(events: Events) -> bool:
            there.set()
            return False

        async with asyncio.timeout(TIMEOUT):
            server_task = asyncio.create_task(run.serve())
            watcher = asyncio.create_task(watched(run, seen, note, retry_for=0.3))
            await there.wait()
            await cancel(server_task)
            with pytest.raises(Unavailable, match=r"no server at .* for 0\.3 s: is it running"):
                await watcher

    asyncio.run(main())


@pytest.mark.parametrize("mutual", [True, False])
def test_watching_over_tls(mutual: bool, tmp_path: Path) -> None:
    seen: Events = []

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        tls = worker(tmp_path, "alice") if mutual else WorkerTls(CA)
        await started(run, seen, group, tls=tls)
        with pytest.raises(Unauthenticated):
            await watched(run, [])
        if mutual:
            with pytest.raises(Unauthenticated, match="asks for a certificate"):
                await watched(run, [], tls=WorkerTls(CA))
        for name, ids in HOSTS.items():
            group.create_task(run.work(name, ids, tls=worker(tmp_path, name) if mutual else WorkerTls(CA)))

    summary, _ = run_script(CONFIG, tmp_path / "run", script, tls=server(tmp_path, mutual=mutual))
    assert summary["predicted_equals_measured"] and kinds(seen)[-1] == "finished"


def request(**fields: Any) -> bytes:
    return wire_pb2.WatchRequest(**{"protocol": protocol.PROTOCOL} | fields).SerializeToString()


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (request(protocol=99), FailedPrecondition, "speaks protocol 99"),
        (b"\xff\xff\xff", WireError, "no WatchRequest"),
    ],
)
def test_a_request_that_cannot_be_served(
    raw: bytes, kind: type[WireError], words: str, tmp_path: Path
) -> None:
    async def main() -> None:
        run = Run(CONFIG, tmp_path)
        async with asyncio.timeout(TIMEOUT):
            server_task = asyncio.create_task(run.serve())
            async with grpc.aio.insecure_channel(await run.address) as channel:
                with pytest.raises(kind, match=words), wire_errors():
                    async for _ in channel.unary_stream(protocol.WATCH)(raw):
                        pass
            await cancel(server_task)

    asyncio.run(main())


def test_no_more_watch_than_are_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "MOST_WATCHERS", 1)
    first: Events = []

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        await started(run, first, group)
        with pytest.raises(FailedPrecondition, match="1 watch this run already"):
            await watched(run, [])
        workers(run, group)

    summary, _ = run_script(CONFIG, tmp_path, script)
    assert kinds(first)[-1] == "finished" and summary["tcp"]["connections"] == CONNECTIONS


def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    config = RunConfig(task=CONFIG.task, codec="cross_polytope(repeats=3)", workers=1, rounds=3)
    beyond = np.array([3.2e38], "<f4").tobytes() + bytes(3)  # a finite gain whose estimate is beyond float32
    seen: Events = []

    async def main() -> None:
        run = Run(config, tmp_path)
        async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as group:
            server_task = asyncio.create_task(run.serve())
            await started(run, seen, group)
            worker = RawWorker(await run.address)
            await worker.join(config, "bad", (0,))
            await worker.send(push=wire_pb2.Push(round=0, payloads=beyond))
            with pytest.raises(NotFiniteError):
                await server_task
            await worker.close()

    asyncio.run(main())
    assert seen[-1]["event"] == "failed" and "round 0, worker 0" in seen[-1]["message"]


@pytest.mark.parametrize("private", [False, True])
def test_metrics_of_each_site_are_shown_unless_they_are_private(
    private: bool, sites: dict[str, Site], tmp_path: Path, gate: PushGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To those who watch from the beginning, and in the state of those who come later."""
    monkeypatch.setitem(registry._REGISTRY._classes, "private_toy", PrivateToy)
    config = replace(evaluation.CONFIG, codec="private_toy" if private else "float32")
    early, late, evaluated = Events(), Events(), asyncio.Event()

    def note(event: dict[str, Any]) -> None:
        if event["event"] == "metrics" and event["round"] == 9:
            evaluated.set()

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        gate.hold(10)
        await started(run, early, group)
        for number, (name, site) in enumerate(sites.items()):
            limits = Limits(report_metrics=True)
            group.create_task(run.work(name, (number,), site=site, limits=limits))
        await evaluated.wait()
        await watched(run, late, lambda events: True)
        gate.release()

    summary, _ = run_script(config, tmp_path / "run", script, watch=note)
    (state,) = late
    assert state["metrics_round"] == 9 and state["metrics"] and summary["metrics"]
    last = [event for event in early if event["event"] == "metrics"][-1]
    assert last["metrics"] == summary["metrics"]
    shown = [event.get("sites") or {} for event in (state, last)]
    assert [found.keys() for found in shown] == [set() if private else sites.keys()] * 2
    by_site = evaluation.measured(tmp_path / "run", config, sites, 9)
    assert all((str(values["test_loss"]) in str([early, late])) is not private for values in by_site.values())
