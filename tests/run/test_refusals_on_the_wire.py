"""What a broken or hostile worker is told, by gRPC status, and that the run goes on without harm."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.config import RunConfig
from gradwire.common.transport import protocol
from gradwire.common.transport.specs import codec_to_message
from gradwire.proto import wire_pb2
from tests.run.harness import RawWorker, Run, simulate

DIM = 12
CONFIG = RunConfig(
    task=f"least_squares(samples=32, dim={DIM})", codec="cross_polytope(repeats=3)", workers=2, rounds=3
)
CODEC = parse(CONFIG.codec, DIM)
GOOD = CODEC.encode(np.ones(DIM), np.random.default_rng(0))
Status = grpc.StatusCode
Act = Callable[[RawWorker], Awaitable[None]]


def set_bits(payload: bytes, byte: int, bits: int) -> bytes:
    return payload[:byte] + bytes([payload[byte] | bits]) + payload[byte + 1 :]


def push(payload: bytes, round_: int = 0, **fields: object) -> Act:
    async def act(worker: RawWorker) -> None:
        await worker.join(CONFIG, "bad", (1,))
        await worker.send(push=wire_pb2.Push(round=round_, payloads=payload, **fields))

    return act


def greet(**join: object) -> Act:
    async def act(worker: RawWorker) -> None:
        await worker.send(
            join=wire_pb2.Join(**{"protocol": protocol.PROTOCOL, "process": "bad", "count": 1} | join)
        )

    return act


def ready(codec: wire_pb2.CodecSpec) -> Act:
    async def act(worker: RawWorker) -> None:
        await greet(workers=[1])(worker)
        await worker.receive()
        await worker.send(ready=wire_pb2.Ready(codec=codec))

    return act


async def no_message(worker: RawWorker) -> None:
    await worker.send_raw(b"\xff\xff\xff\xff")


async def push_before_join(worker: RawWorker) -> None:
    await worker.send(push=wire_pb2.Push(payloads=GOOD))


async def endless_pieces(worker: RawWorker) -> None:
    await greet(workers=[1])(worker)
    await worker.send(piece=wire_pb2.Piece(data=b"x", total=1 << 40))


def other_codec() -> wire_pb2.CodecSpec:
    return codec_to_message(parse("cross_polytope(repeats=4)", DIM))


def wrong_fingerprint() -> wire_pb2.CodecSpec:
    message = codec_to_message(CODEC)
    message.fingerprint = bytes(16)
    return message


REFUSALS: dict[str, tuple[Act, grpc.StatusCode, str]] = {
    "truncated": (push(GOOD[:-1]), Status.INVALID_ARGUMENT, "expected 6"),
    "over-long": (push(GOOD + b"\0"), Status.INVALID_ARGUMENT, "expected 6"),
    "padding": (push(set_bits(GOOD, 5, 0x80)), Status.INVALID_ARGUMENT, "padding"),
    "index": (push(set_bits(GOOD, 4, 0xFF)), Status.INVALID_ARGUMENT, "expected below 24"),
    "nan gain": (push(b"\xff\xff\xff\x7f" + GOOD[4:]), Status.INVALID_ARGUMENT, "finite"),
    "future round": (push(GOOD, 2), Status.OUT_OF_RANGE, "round 2 is not open"),
    "losses": (push(GOOD, losses=[1.0, 2.0]), Status.INVALID_ARGUMENT, "losses"),
    "examples": (push(GOOD, examples=[5]), Status.INVALID_ARGUMENT, "expected none"),
    "lengths": (push(GOOD, lengths=[6]), Status.INVALID_ARGUMENT, "fixed length"),
    "protocol": (greet(protocol=99), Status.FAILED_PRECONDITION, "protocol 99"),
    "no name": (greet(process=""), Status.INVALID_ARGUMENT, "name"),
    "too many workers": (greet(count=3), Status.INVALID_ARGUMENT, "expected 1 to 2"),
    "foreign worker": (greet(workers=[0]), Status.FAILED_PRECONDITION, "worker 0 is hosted"),
    "unknown worker": (greet(workers=[7]), Status.INVALID_ARGUMENT, "below 2"),
    "other codec": (ready(other_codec()), Status.FAILED_PRECONDITION, "repeats=4"),
    "fingerprint": (ready(wrong_fingerprint()), Status.FAILED_PRECONDITION, "fingerprint"),
    "other dim": (
        ready(codec_to_message(parse(CONFIG.codec, 5))),
        Status.FAILED_PRECONDITION,
        "5 parameters",
    ),
    "not a message": (no_message, Status.INVALID_ARGUMENT, "not a gradwire message"),
    "push first": (push_before_join, Status.INVALID_ARGUMENT, "push came where join"),
    "endless": (endless_pieces, Status.INVALID_ARGUMENT, "expected at most"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_with_its_status_and_the_run_is_unharmed(name: str, tmp_path: Path) -> None:
    act, status, words = REFUSALS[name]

    async def main() -> None:
        hosted = asyncio.Event()

        def watch(event: dict[str, object]) -> None:
            if event["event"] == "joined":
                hosted.set()

        run = Run(CONFIG, tmp_path, watch)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            group.create_task(run.work("good-0", (0,)))
            await hosted.wait()
            bad = RawWorker(await run.address)
            await act(bad)
            code, details = await bad.refused()
            await bad.close()
            assert (code, words in details) == (status, True), (code, details)
            assert "\n" not in details and "0x" not in details
            group.create_task(run.work("good-1", (1,)))
        assert server.result()["digest"] == f"{simulate(CONFIG).digest:016x}"

    asyncio.run(main())


def test_a_retry_is_welcome_and_another_payload_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        run = Run(CONFIG, tmp_path)
        async with asyncio.timeout(30):
            server = asyncio.create_task(run.serve())
            target = await run.address
            silent, bad = RawWorker(target), RawWorker(target)
            joining = asyncio.create_task(silent.join(CONFIG, "silent", (0,)))  # holds the round open
            await bad.join(CONFIG, "bad", (1,))
            await joining
            other = CODEC.encode(-np.ones(DIM), np.random.default_rng(0))
            for payload in (GOOD, GOOD, other):
                await bad.send(push=wire_pb2.Push(round=0, payloads=payload))
            code, details = await bad.refused()
            assert code is Status.ALREADY_EXISTS and "a retry re-sends it" in details
            for worker in (silent, bad):
                await worker.close()
            server.cancel()
            await asyncio.wait([server])

    asyncio.run(main())
