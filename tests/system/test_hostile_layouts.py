"""Layouts, models and weights that no worker would send: each is refused by one short line, and the run goes on."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.training.config import RunConfig
from gradwire.common.training.digest import digest_of
from gradwire.common.training.layout import Layout, LayoutArray, Role, constant_digest
from gradwire.common.transport import protocol
from gradwire.common.transport.specs import codec_to_message
from gradwire.proto import wire_pb2
from tests.system.harness import Run, run_script, simulate
from tests.system.raw_worker import RawWorker

DIM = 12
CONFIG = RunConfig(task=f"least_squares(samples=32, dim={DIM})", codec="float32", workers=1, rounds=2)
Status = grpc.StatusCode
Arrays = list[wire_pb2.Array]


def array(name: str = "w", shape: tuple[int, ...] = (DIM,), **fields: Any) -> wire_pb2.Array:
    return wire_pb2.Array(name=name, shape=shape, **{"dtype": "float32", **fields})


def constant(name: str = "table", data: bytes = bytes(8)) -> wire_pb2.Array:
    return array(name, (1,), dtype="int64", role=2, digest=constant_digest(data))


def many(count: int) -> Arrays:
    return [array(f"a{k}", (DIM if k == 0 else 0,)) for k in range(count)]


def names(count: int) -> list[str]:
    return [f"{k:x}" for k in range(count)]


async def offer(
    worker: RawWorker,
    *,
    arrays: Arrays | None = None,
    schema: str = "",
    constants: tuple[bytes, ...] = (),
    fingerprint: bytes = b"f" * 16,
    averaged: int = 0,
    dim: int = DIM,
) -> None:
    """Join, announce a layout in Ready, and send it with an initial model of zeros."""
    await worker.send(join=wire_pb2.Join(protocol=protocol.PROTOCOL, process="bad", workers=[0]))
    await worker.receive()
    codec = codec_to_message(parse(CONFIG.codec, DIM, averaged=averaged if averaged <= DIM else 0))
    codec.dim = dim
    zeros = np.zeros(DIM, np.float32)
    await worker.send(
        ready=wire_pb2.Ready(codec=codec, digest=digest_of(zeros), layout=fingerprint, averaged=averaged)
    )
    assert (await worker.receive()).WhichOneof("message") == "upload"
    layout = wire_pb2.Layout(arrays=arrays, schema=schema) if arrays is not None else None
    await worker.send(initial=wire_pb2.Snapshot(state=zeros.tobytes(), layout=layout, constants=constants))


def fingerprint_of(*arrays: LayoutArray) -> bytes:
    return Layout(arrays).fingerprint


TABLE = LayoutArray("table", (1,), "int64", Role.CONSTANT, constant_digest(bytes(8)))
WITH_TABLE = fingerprint_of(LayoutArray("w", (DIM,)), TABLE)
STATISTICS = fingerprint_of(LayoutArray("w", (DIM - 2,)), LayoutArray("m", (2,), role=Role.AVERAGED))

# name: what is offered, then the words of the refusal
OFFERS: dict[str, tuple[dict[str, Any], str]] = {
    "no layout": ({}, "no trained parameters"),
    "no arrays": ({"arrays": []}, "no trained parameters"),
    "65,537 arrays": ({"arrays": many(65_537)}, "65537 arrays, at most 65536"),
    "twice the last name": ({"arrays": [*many(60_000), array("a59999", (0,))]}, "are called a59999"),
    "twice the last alias": (
        {"arrays": [array(aliases=[*names(200_000), "ffff"])]}, "are called ffff",
    ),
    "beyond int64": ({"arrays": [array(shape=(1 << 63, 1 << 63, 4))]}, "not the one announced"),
    "axes beyond int64": ({"arrays": [array(shape=((1 << 64) - 1,) * 64)]}, "not the one announced"),
    "65 axes": ({"arrays": [array(shape=(1,) * 65)]}, "shape"),
    "no elements": ({"arrays": [array(shape=(0,))]}, "no trained parameters"),
    "no name": ({"arrays": [array("")]}, "called ''"),
    "escape sequences": ({"arrays": [array("\x1b[31m")]}, r"called '\x1b[31m'"),
    "long name": ({"arrays": [array("n" * 1_000_000)]}, "called 'nnnn"),
    "lines as a dtype": ({"arrays": [array(dtype="float32\n\x1b[31m")]}, "expected one of float64"),
    "long dtype": ({"arrays": [array(dtype="f" * 1_000_000)]}, "expected one of float64"),
    "long name, unknown role": ({"arrays": [array("n\n" * 100_000, role=7)]}, "role 7"),
    "trained whole numbers": ({"arrays": [array(dtype="int64")]}, "expected a floating dtype"),
    "roles out of order": ({"arrays": [constant(), array()]}, "order"),
    "digest of a trained array": ({"arrays": [array(digest=b"x" * 16)]}, "digest"),
    "short digest": ({"arrays": [array(), array("c", (1,), role=2, digest=b"x")]}, "digest"),
    "another fingerprint": ({"arrays": [array()]}, "not the one announced"),
    "another dim": ({"arrays": [array(shape=(5,))]}, "not the one announced"),
    "layout of 4 MiB": ({"arrays": [array()], "schema": "s" * ((4 << 20) + 99)}, "a layout of"),
    "a constant too many": (
        {"arrays": [array(), constant()], "fingerprint": WITH_TABLE, "constants": (bytes(8), bytes(8))},
        "2 constant arrays came",
    ),
    "another constant": (
        {"arrays": [array(), constant()], "fingerprint": WITH_TABLE, "constants": (b"x" * 8,)},
        "table is not the one",
    ),
    "a longer constant": (
        {"arrays": [array(), constant()], "fingerprint": WITH_TABLE, "constants": (bytes(1 << 20),)},
        "table is not the one",
    ),
    "constants without a layout": ({"fingerprint": b"", "constants": (bytes(1 << 20),)}, "constant"),
    "statistics without a layout": ({"fingerprint": b"", "averaged": 2}, "averaged"),
    "other statistics": (
        {
            "arrays": [array(shape=(DIM - 2,)), array("m", (2,), role=1)],
            "fingerprint": STATISTICS,
            "averaged": 3,
        },
        "not the one announced",
    ),
}  # fmt: skip


async def refused(run: Run, act: Callable[[RawWorker], Any]) -> tuple[grpc.StatusCode, str]:
    worker = RawWorker(await run.address)
    async with asyncio.timeout(30):
        await act(worker)
        status = await worker.refused()
    await worker.close()
    return status


def test_layouts_and_models_that_are_refused(tmp_path: Path) -> None:
    wrong: dict[str, Any] = {}

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for name, (offered, words) in OFFERS.items():
            code, details = await refused(run, lambda worker, offered=offered: offer(worker, **offered))
            good = code is Status.INVALID_ARGUMENT and words in details and len(details) < 400
            if not good or not details.isprintable():
                wrong[name] = (code, details[:400])
        group.create_task(run.work("good", (0,)))

    summary, _ = run_script(CONFIG, tmp_path, script)
    assert not wrong
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}"


READIES: dict[str, tuple[dict[str, int], str]] = {
    "all coordinates averaged": ({"averaged": DIM}, "float32_tail: size is"),
    "more averaged than there are": ({"averaged": DIM + 1}, "float32_tail: size is"),
    "averaged beyond int64": ({"averaged": (1 << 64) - 1}, "float32_tail: size is"),
    "averaged of a large model": ({"averaged": (1 << 64) - 1, "dim": 1 << 20}, "float32_tail: size is"),
}


def test_ready_with_averaged_coordinates_that_cannot_be(tmp_path: Path) -> None:
    wrong: dict[str, Any] = {}

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for name, (fields, words) in READIES.items():

            async def act(worker: RawWorker, fields: dict[str, int] = fields) -> None:
                await worker.send(join=wire_pb2.Join(protocol=protocol.PROTOCOL, process="bad", workers=[0]))
                await worker.receive()
                codec = codec_to_message(parse(CONFIG.codec, DIM))
                codec.dim = fields.get("dim", DIM)
                await worker.send(ready=wire_pb2.Ready(codec=codec, averaged=fields["averaged"]))

            code, details = await refused(run, act)
            if code is not Status.FAILED_PRECONDITION or words not in details:
                wrong[name] = (code, details)
        group.create_task(run.work("good", (0,)))

    run_script(CONFIG, tmp_path, script)
    assert not wrong


@pytest.mark.parametrize(
    ("weighting", "examples", "words"),
    [
        ("examples", [0], "expected 1 positive counts"),
        ("size", [0], "expected 1 positive counts"),
        ("size", [], "expected 1 positive counts"),
        ("size", [1, 1], "expected 1 positive counts"),
    ],
)
def test_weights_that_are_refused(weighting: str, examples: list[int], words: str, tmp_path: Path) -> None:
    config = replace(CONFIG, weighting=weighting)

    async def act(worker: RawWorker) -> None:
        await worker.join(config, "bad", (0,))
        payload = parse(config.codec, DIM).encode(np.ones(DIM), np.random.default_rng(0))
        await worker.send(push=wire_pb2.Push(payloads=payload, examples=examples))

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        code, details = await refused(run, act)
        assert code is Status.INVALID_ARGUMENT and words in details
        group.create_task(run.work("good", (0,)))

    run_script(config, tmp_path, script)


def test_the_largest_weights_are_a_mean(tmp_path: Path) -> None:
    """2^32 - 1 examples of each of two workers weigh as much as one of each."""
    config = replace(CONFIG, weighting="examples", workers=2, rounds=1)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        worker = RawWorker(await run.address)
        await worker.join(config, "raw", (0, 1))
        codec = parse(config.codec, DIM)
        payloads = b"".join(codec.encode(np.full(DIM, v), np.random.default_rng(0)) for v in (1.0, 3.0))
        before = worker.params.copy()
        await worker.send(push=wire_pb2.Push(payloads=payloads, examples=[(1 << 32) - 1] * 2))
        entry = (await worker.receive()).entry
        assert list(entry.payloads.examples or [(1 << 32) - 1] * 2) == [(1 << 32) - 1] * 2
        after = before - np.float32(0.1) * np.full(DIM, 2, np.float32)
        while (await worker.receive()).WhichOneof("message") != "finish":
            pass
        await worker.send(done=wire_pb2.Done(digest=digest_of(after)))
        await worker.close()
        group.create_task(run.work("raw", (0, 1)))

    summary, _ = run_script(config, tmp_path, script)
    assert summary["replicas_agree"]
