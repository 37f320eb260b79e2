"""The gRPC status that a broken or hostile worker gets, and that the run goes on unharmed."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.spec import parse_spec
from gradwire.common.training.config import RunConfig
from gradwire.common.training.digest import digest_of
from gradwire.common.transport import protocol
from gradwire.common.transport.limits import FRAME_BYTES
from gradwire.common.transport.specs import codec_to_message, spec_to_message
from gradwire.proto import wire_pb2
from gradwire.worker.tasks import build_task
from tests.system.harness import TIMEOUT, Run, cancel, run_script, simulate
from tests.system.raw_worker import RawWorker, refused_by

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


def messages(*sent: tuple[str, object]) -> Act:
    """These messages, one after another, on a stream that has joined and has the open round."""

    async def act(worker: RawWorker) -> None:
        await worker.join(CONFIG, "bad", (1,))
        for kind, message in sent:
            await worker.send(**{kind: message})

    return act


def reported(round_: int = 0, names: Sequence[str] = ("loss",), examples: int = 0) -> Act:
    """A report of a process that evaluates for itself."""

    async def act(worker: RawWorker) -> None:
        await worker.join(CONFIG, "bad", (1,), evaluates=True)
        metrics = [wire_pb2.Metric(name=name, value=1.0) for name in names]
        await worker.send(report=wire_pb2.Report(round=round_, metrics=metrics, examples=examples))

    return act


def raw(*frames: bytes) -> Act:
    async def act(worker: RawWorker) -> None:
        for frame in frames:
            await worker.send_raw(frame)

    return act


def piece(data: bytes, total: int = 0) -> bytes:
    return wire_pb2.FromWorker(piece=wire_pb2.Piece(data=data, total=total)).SerializeToString()


def bad_codec(dim: int = DIM, **changes: object) -> wire_pb2.CodecSpec:
    message = wrong_fingerprint()
    message.dim = dim
    for argument in message.spec.arguments:
        if argument.name in changes:
            argument.integer = changes[argument.name]  # type: ignore[assignment]
    return message


def nested(depth: int) -> wire_pb2.CodecSpec:
    message = wrong_fingerprint()
    spec = message.spec
    for _ in range(depth):
        spec = spec.arguments.add(name="inner").spec
        spec.name = "rotated"
    return message


JOIN = wire_pb2.Join(protocol=protocol.PROTOCOL, process="bad", workers=[1])
READY = wire_pb2.Ready(codec=codec_to_message(CODEC))
REPORT = wire_pb2.Report(round=0, metrics=[wire_pb2.Metric(name="loss", value=1.0)])


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
    # sizes
    "huge frame": (raw(bytes(FRAME_BYTES + 1)), Status.RESOURCE_EXHAUSTED, "larger than max"),
    "long greeting": (greet(process="x" * (1 << 17)), Status.INVALID_ARGUMENT, "expected at most 65536"),
    "long push": (push(bytes(1 << 17)), Status.INVALID_ARGUMENT, "expected at most 65536"),
    "many ids": (greet(workers=[1] * 60_000), Status.INVALID_ARGUMENT, "distinct and below 2"),
    "many lengths": (push(GOOD, lengths=[0] * 60_000), Status.INVALID_ARGUMENT, "fixed length"),
    "many losses": (push(GOOD, losses=[0.0] * 15_000), Status.INVALID_ARGUMENT, "15000 losses"),
    "huge count": (greet(count=(1 << 32) - 1), Status.INVALID_ARGUMENT, "expected 1 to 2"),
    "far round": (push(GOOD, (1 << 64) - 1), Status.OUT_OF_RANGE, "is not open"),
    "huge dim": (ready(bad_codec(dim=(1 << 64) - 1)), Status.FAILED_PRECONDITION, "memory holds"),
    "no dim": (ready(bad_codec(dim=0)), Status.FAILED_PRECONDITION, "dim is 0"),
    "huge codec": (
        ready(bad_codec(repeats=(1 << 62))),
        Status.FAILED_PRECONDITION,
        "the worker encodes with",
    ),
    "deep codec": (ready(nested(20)), Status.FAILED_PRECONDITION, "nested more than 8 deep"),
    "no codec": (ready(wire_pb2.CodecSpec(dim=DIM)), Status.FAILED_PRECONDITION, "is not a name"),
    # words
    "control characters": (greet(process="a\nb"), Status.INVALID_ARGUMENT, "printable"),
    "two ids in one": (greet(workers=[1, 1]), Status.INVALID_ARGUMENT, "distinct"),
    "nan loss": (push(GOOD, losses=[math.nan]), Status.INVALID_ARGUMENT, "expected finite"),
    "infinite loss": (push(GOOD, losses=[math.inf]), Status.INVALID_ARGUMENT, "expected finite"),
    "no payload": (push(b""), Status.INVALID_ARGUMENT, "expected 6"),
    # order
    "empty message": (raw(b""), Status.INVALID_ARGUMENT, "None came where join"),
    "ready first": (
        raw(wire_pb2.FromWorker(ready=READY).SerializeToString()),
        Status.INVALID_ARGUMENT,
        "ready came",
    ),
    "join twice": (messages(("join", JOIN)), Status.INVALID_ARGUMENT, "join came in the middle"),
    "ready twice": (messages(("ready", READY)), Status.INVALID_ARGUMENT, "ready came in the middle"),
    "a model uninvited": (
        messages(("initial", wire_pb2.Snapshot(state=bytes(4 * DIM)))),
        Status.INVALID_ARGUMENT,
        "initial came",
    ),
    "done too early": (messages(("done", wire_pb2.Done(digest=1))), Status.INVALID_ARGUMENT, "done came"),
    "somebody else's report": (
        messages(("report", REPORT)),
        Status.INVALID_ARGUMENT,
        "was not named to evaluate",
    ),
    "a report of a round to come": (
        reported(1),
        Status.INVALID_ARGUMENT,
        "metrics after round 1 came, 0 rounds are committed",
    ),
    "a report of the end": (reported(3), Status.INVALID_ARGUMENT, "0 rounds are committed"),
    "too many metrics": (reported(names=[str(k) for k in range(65)]), Status.INVALID_ARGUMENT, "at most 64"),
    "a long name of a metric": (reported(names=["x" * 65]), Status.INVALID_ARGUMENT, "short printable"),
    "too many samples": (
        reported(examples=(1 << 53) + 1),
        Status.INVALID_ARGUMENT,
        "at most 9007199254740992",
    ),
    # pieces
    "a piece without a first": (raw(piece(b"x")), Status.INVALID_ARGUMENT, "does not continue"),
    "two first pieces": (raw(piece(b"x", 9), piece(b"y", 9)), Status.INVALID_ARGUMENT, "does not continue"),
    "an empty piece": (raw(piece(b"", 9)), Status.INVALID_ARGUMENT, "does not continue"),
    "pieces that are too long": (
        raw(piece(b"x", 3), piece(b"yyy")),
        Status.INVALID_ARGUMENT,
        "more than the 3",
    ),
    "pieces of nonsense": (raw(piece(b"\xff", 2), piece(b"\xff")), Status.INVALID_ARGUMENT, "not a gradwire"),
    "a message between pieces": (
        raw(piece(b"x", 9), wire_pb2.FromWorker(join=JOIN).SerializeToString()),
        Status.INVALID_ARGUMENT,
        "between the pieces",
    ),
}


def test_each_is_refused_with_its_status(tmp_path: Path) -> None:
    """One server refuses all of them, one after another, and then finishes its run unharmed."""

    async def refused(target: str, act: Act) -> tuple[grpc.StatusCode, str]:
        bad = RawWorker(target)
        await act(bad)
        status = await bad.refused()
        await bad.close()
        return status

    wrong = {}

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("good-0", (0,)))
        await run.joined("good-0")
        for name, (act, status, words) in REFUSALS.items():
            code, details = await refused(await run.address, act)
            if code is not status or words not in details or "\n" in details or "0x" in details:
                wrong[name] = (code, details)
        group.create_task(run.work("good-1", (1,)))

    summary, _ = run_script(CONFIG, tmp_path, script)
    assert not wrong
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}"


@pytest.mark.parametrize("spelling", [None, "cross_polytope(3)", "cross_polytope(repeats=3)", "sign", ""])
def test_fingerprint_decides_and_not_the_spelling(spelling: str | None, tmp_path: Path) -> None:
    """A worker may echo the codec of Welcome (None), spell it in another way, or not at all."""

    async def main() -> str | None:
        run = Run(CONFIG, tmp_path)
        async with asyncio.timeout(30):
            server = asyncio.create_task(run.serve())
            worker = RawWorker(await run.address)
            await greet(workers=[0, 1])(worker)
            welcome = (await worker.receive()).welcome
            spec = welcome.run.codec if spelling is None else wire_pb2.Spec()
            if spelling:
                spec = spec_to_message(parse_spec(spelling))
            params = build_task(CONFIG.task, workers=2, seed=CONFIG.seed).initial()
            codec = wire_pb2.CodecSpec(spec=spec, dim=DIM, fingerprint=CODEC.fingerprint)
            await worker.send(ready=wire_pb2.Ready(codec=codec, digest=digest_of(params)))
            assert (await worker.receive()).HasField("upload")
            await worker.send(initial=wire_pb2.Snapshot(state=params.tobytes()))
            assert (await worker.receive()).HasField("evaluate")
            kind = (await worker.receive()).WhichOneof("message")
            await worker.close()
            server.cancel()
            await asyncio.wait([server])
        return kind

    assert asyncio.run(main()) == "open"


def test_retry_is_accepted_and_another_payload_refused(tmp_path: Path) -> None:
    async def main() -> None:
        run = Run(CONFIG, tmp_path)
        async with asyncio.timeout(TIMEOUT):
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
            await cancel(server)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("dim", "known", "words"),
    [
        (1 << 38, None, "a model of 274877906944 parameters, this server's memory holds"),
        (DIM + 1, DIM, "the worker's task has 13 parameters, the run's has 12: give it the run's data"),
    ],
)
def test_first_worker_cannot_choose_the_model_size(
    dim: int, known: int | None, words: str, tmp_path: Path
) -> None:
    code, details = refused_by(CONFIG, tmp_path, ready(bad_codec(dim=dim)), dim=known)
    assert code is Status.FAILED_PRECONDITION and words in details
