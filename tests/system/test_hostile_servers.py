"""What a private worker sends to a server that asks for anything: of its data, paid payloads alone."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import GradwireError, InvalidArgument, LayoutError
from gradwire.common.training.config import MAX_ROUNDS, RunConfig
from gradwire.common.training.layout import Layout
from gradwire.common.transport.address import parse_address
from gradwire.common.transport.framing import Reassembler, frames
from gradwire.common.transport.layouts import layout_to_message
from gradwire.common.transport.specs import run_to_message
from gradwire.proto import wire_pb2
from gradwire.worker.privacy import Limits
from gradwire.worker.process import WorkerOptions, WorkerProcess
from gradwire.worker.site import Site

SECRET = "3.14159"  # the scale of a column: of the data of one site
SCHEMA = f"""format = "csv"
label = "y"
classes = [0, 1]
features = [{{ name = "a", scale = {SECRET} }}, {{ name = "b" }}]
"""
ROWS = "a,b,y\n" + "".join(f"{k / 10},{(k * 7) % 5},{k % 2}\n" for k in range(40))
CODEC = "private(rr(epsilon=4), cross_polytope(repeats=1))"
FINE = "private_top(epsilon=40, repeats=8)"
PLAIN = RunConfig(task="softmax(file)", codec=CODEC, workers=2, rounds=6, digest_every=1, evaluate_every=1)
DIM = 6
Script = Callable[[int, str], list[dict[str, Any]]]  # from the number and the kind of what the worker said


class HostileServer:
    """Says what a test gives it, message by message, and keeps what the worker says."""

    def __init__(self, run: wire_pb2.Run, script: Script) -> None:
        self._welcome = wire_pb2.Welcome(run=run, workers=[0, 1], stream=1)
        self._script = script
        self.heard: list[wire_pb2.FromWorker] = []

    async def train(self, requests: Any, context: Any) -> None:
        inbox, pushes = Reassembler(wire_pb2.FromWorker, 1 << 30), 0

        async def say(**message: Any) -> None:
            for frame in frames(wire_pb2.FromServer(**message)):
                await context.write(frame)

        async for raw in requests:
            message = inbox.add(raw)
            if message is None:
                continue
            self.heard.append(message)
            kind = message.WhichOneof("message")
            if kind == "join":
                await say(welcome=self._welcome)
            elif kind == "ready" and not pushes:
                await say(upload=wire_pb2.Upload())
            elif kind in ("initial", "push", "ready"):
                pushes += 1
                said = self._script(pushes, kind)
                for each in said:
                    await say(**each)
                if not said:
                    return

    async def serve(self, options: Callable[[str], WorkerOptions]) -> BaseException | None:
        """Let one worker take part; how it ended."""
        server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(self.train)
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("gradwire.v1.ParameterServer", {"Train": handler})]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with asyncio.timeout(60):
                await WorkerProcess(options(f"127.0.0.1:{port}")).run()
        except (GradwireError, TimeoutError) as error:
            return error
        finally:
            await server.stop(None)
        return None


def attacked(
    folder: Path, config: RunConfig, script: Script, **fields: int
) -> tuple[list[wire_pb2.FromWorker], BaseException | None]:
    """Let a worker take part in a run of a server that follows a script; what it said, and how it ended."""
    (folder / "s.toml").write_text(SCHEMA, encoding="utf-8")
    (folder / "t.csv").write_text(ROWS, encoding="utf-8")

    def options(address: str) -> WorkerOptions:
        return WorkerOptions(
            server=parse_address(address),
            name="site",
            count=2,
            retry_for=0.0,
            state_dir=folder / "state",
            limits=Limits(),
            site=Site(data=folder / "t.csv", schema=folder / "s.toml"),
        )

    run = run_to_message(config, b"r" * 16)
    for field, value in fields.items():
        setattr(run, field, value)
    server = HostileServer(run, script)
    return server.heard, asyncio.run(server.serve(options))


def snapshot(round_: int, value: float = 0.0, arrays: int = 1) -> dict[str, Any]:
    state = np.full(DIM * arrays, value, "<f4").tobytes()
    return {"snapshot": wire_pb2.Snapshot(round=round_, state=state)}


def opened(round_: int) -> dict[str, Any]:
    return {"open": wire_pb2.Open(round=round_)}


def leaks(heard: list[wire_pb2.FromWorker], folder: Path, codec_spec: str = CODEC) -> list[str]:
    """What was sent besides names, the initial model of zeros, digests, and payloads that the ledger holds."""
    found = []
    codec = parse(codec_spec, DIM)
    with closing(sqlite3.connect(folder / "state" / "privacy.db")) as db:
        paid = {payload for (payload,) in db.execute("SELECT payload FROM pushes")}
    for message in heard:
        kind = message.WhichOneof("message")
        if SECRET in str(message):
            found.append(f"the schema in {kind}")
        if kind == "report":
            found.append("metrics")
        if kind == "push":
            push = message.push
            if push.losses or push.examples:
                found.append("losses or counts")
            size = codec.nbytes
            parts = [push.payloads[k : k + size] for k in range(0, len(push.payloads), size)]
            found += [f"unpaid in round {push.round}" for part in parts if part not in paid]
    return found


LOCAL = "local(steps=4, optimizer=sgd(lr=1e30))"


@pytest.mark.parametrize(
    ("change", "arrays"),
    [
        ({}, 1),
        ({"local": LOCAL}, 1),
        ({"local": "local(steps=4, optimizer=sgd(lr=0.1, momentum=0.9), inner=kept)"}, 1),
        ({"local": "local(steps=4, optimizer=sgd(lr=0.1), scaffold=true)"}, 2),
        ({"local": "local(steps=4, optimizer=adamw(lr=1e30), prox=1e30)"}, 1),
        ({"codec": FINE}, 1),
        ({"partition": "iid"}, 1),
    ],
)
def test_a_server_that_goes_back_and_forth_gets_what_is_paid_for(
    change: dict[str, str], arrays: int, tmp_path: Path
) -> None:
    """Each round is asked for at three models, far away ones too: one pair of payloads per round."""

    values, asked = [0.0, 1.0, 1e30, -1e38], 0

    def script(_: int, kind: str) -> list[dict[str, Any]]:
        nonlocal asked
        if kind == "ready":
            return [opened(asked // 4)]
        asked += kind == "push"
        answer = [snapshot(asked // 4, values[asked % 4], arrays)]
        return [] if asked == 20 else answer if kind == "push" else [*answer, opened(0)]

    config = replace(PLAIN, **change)
    heard, _ = attacked(tmp_path, config, script)
    rounds: dict[int, set[bytes]] = {}
    for message in heard:
        if message.WhichOneof("message") == "push":
            rounds.setdefault(message.push.round, set()).add(message.push.payloads)
    assert len(rounds) > 3 and all(len(sent) == 1 for sent in rounds.values())
    assert not leaks(heard, tmp_path, config.codec)


def nothing(_: int, kind: str) -> list[dict[str, Any]]:
    return []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weighting": "size"}, "weighs workers by their example counts"),
        ({"weighting": "examples"}, "weighs workers by their example counts"),
        ({"partition": "dirichlet(0.1)", "workers": 1000}, "samples cannot"),
        ({"feedback": "error", "codec": FINE}, "error feedback with private_top"),
    ],
)
def test_a_run_that_asks_for_more_hears_the_name_alone(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    heard, error = attacked(tmp_path, replace(PLAIN, **change), nothing)
    assert words in str(error) and [m.WhichOneof("message") for m in heard] == ["join"]


@pytest.mark.parametrize("fields", [{"rounds": MAX_ROUNDS + 1}, {"workers": (1 << 32) - 1}])
def test_a_run_beyond_the_limits_is_refused(fields: dict[str, int], tmp_path: Path) -> None:
    heard, error = attacked(tmp_path, PLAIN, nothing, **fields)
    assert isinstance(error, InvalidArgument) and "expected at most" in str(error)
    assert [m.WhichOneof("message") for m in heard] == ["join"]


LONG = Layout.flat(DIM).with_schema("x\x1b[31m" * 100_000)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ({"layout": wire_pb2.Layout()}, InvalidArgument, "no trained parameters"),
        ({"layout": layout_to_message(Layout.flat(DIM))}, LayoutError, "a schema here, none there"),
        ({"layout": layout_to_message(LONG)}, LayoutError, "there"),
        (snapshot(1 << 63), InvalidArgument, "a run has at most"),
    ],
)
def test_what_a_worker_refuses_it_refuses_without_a_word(
    answer: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    heard, raised = attacked(tmp_path, PLAIN, lambda step, kind: [answer])
    assert isinstance(raised, error) and words in str(raised) and len(str(raised)) < 600
    assert str(raised).isprintable()
    assert [m.WhichOneof("message") for m in heard] == ["join", "ready", "initial"]
    assert not leaks(heard, tmp_path)


def test_the_workers_own_layout_is_no_reason_to_leave_it_unexplained(tmp_path: Path) -> None:
    heard, _ = attacked(tmp_path, PLAIN, nothing)
    own = heard[-1].initial.layout
    assert own.schema.startswith("fingerprint ")
    _, error = attacked(tmp_path, PLAIN, lambda step, kind: [{"layout": own}])
    assert isinstance(error, InvalidArgument) and "it is this worker's" in str(error)


def test_upload_in_the_middle_of_a_run_is_answered_with_the_servers_own_model(tmp_path: Path) -> None:
    def script(step: int, kind: str) -> list[dict[str, Any]]:
        uploads = [{"upload": wire_pb2.Upload()}]
        return {1: [snapshot(0, 1.0), opened(0)], 2: uploads}.get(step, [])

    heard, _ = attacked(tmp_path, PLAIN, script)
    assert [m.WhichOneof("message") for m in heard] == ["join", "ready", "initial", "push", "initial"]
    assert heard[-1].initial.state == np.full(DIM, 1.0, "<f4").tobytes()
    assert not leaks(heard, tmp_path)
