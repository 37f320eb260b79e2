"""The two halves of a worker's stream: what is received and sent over a call that a test controls."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from gradwire.common.errors import InvalidArgument, Unavailable
from gradwire.common.transport.framing import frames
from gradwire.common.transport.limits import CONTROL_BYTES, PIECE_BYTES
from gradwire.proto import wire_pb2
from gradwire.worker import inbox as worker_inbox
from gradwire.worker.inbox import Inbox, StreamClosed
from gradwire.worker.outbox import Outbox
from gradwire.worker.stream import Stream


class FakeCall:
    """A call whose frames and whose end the test chooses."""

    def __init__(self, status: grpc.StatusCode = grpc.StatusCode.OK) -> None:
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.written: list[bytes] = []
        self.fails: Exception | None = None
        self._status = status

    async def read(self) -> Any:
        return await self.incoming.get()

    async def write(self, frame: bytes) -> None:
        if self.fails is not None:
            raise self.fails
        self.written.append(frame)

    async def code(self) -> grpc.StatusCode:
        return self._status

    async def details(self) -> str:
        return "in so many words"

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata()

    trailing_metadata = initial_metadata

    def deliver(self, **message: Any) -> None:
        for frame in frames(wire_pb2.FromServer(**message)):
            self.incoming.put_nowait(frame)


def entry(round_: int, size: int = 0) -> wire_pb2.Entry:
    return wire_pb2.Entry(round=round_, payloads=wire_pb2.Payloads(data=bytes(size)))


def received(play: Callable[[FakeCall, Inbox], Awaitable[None]], call: FakeCall | None = None) -> list[str]:
    """Play with an inbox; the contacts that it reported."""
    contacts: list[str] = []

    async def run() -> None:
        chosen: Any = call or FakeCall()
        inbox = Inbox(chosen, lambda: contacts.append("frame"))
        async with asyncio.timeout(30):
            await play(chosen, inbox)
        await inbox.close()

    asyncio.run(run())
    return contacts


def test_messages_in_order_with_their_sizes() -> None:
    async def play(call: FakeCall, inbox: Inbox) -> None:
        inbox.set_limit(3 * PIECE_BYTES)
        call.deliver(entry=entry(4, 2 * PIECE_BYTES))
        call.deliver(open=wire_pb2.Open(round=5))
        first, second = await inbox.next(), await inbox.next()
        assert (first.kind, second.kind) == ("entry", "open")
        assert first.message.entry.round == 4 and first.size > 2 * PIECE_BYTES
        assert second.size == second.message.ByteSize()

    assert len(received(play)) == 4  # three pieces and a message


def test_newest_round_of_queued_messages() -> None:
    async def play(call: FakeCall, inbox: Inbox) -> None:
        assert inbox.is_empty and inbox.newest_round() is None
        call.deliver(open=wire_pb2.Open(round=2))
        await inbox.next()
        for message in ({"entry": entry(2)}, {"entry": entry(3)}, {"late": wire_pb2.Late(round=9)}):
            call.deliver(**message)
        call.incoming.put_nowait(grpc.aio.EOF)
        while inbox.is_empty or not call.incoming.empty():
            await asyncio.sleep(0)
        assert inbox.newest_round() == 4
        assert [(await inbox.next()).kind for _ in range(3)] == ["entry", "entry", "late"]
        assert inbox.newest_round() is None

    received(play)


@pytest.mark.parametrize(
    ("message", "round_"),
    [({"snapshot": wire_pb2.Snapshot(round=7)}, 7), ({"finish": wire_pb2.Finish(rounds=9)}, 9)],
)
def test_newest_round_after_snapshot_and_finish(message: dict[str, Any], round_: int) -> None:
    async def play(call: FakeCall, inbox: Inbox) -> None:
        call.deliver(**message)
        while inbox.is_empty:
            await asyncio.sleep(0)
        assert inbox.newest_round() == round_

    received(play)


def test_end_follows_the_last_message() -> None:
    async def play(call: FakeCall, inbox: Inbox) -> None:
        call.deliver(finish=wire_pb2.Finish(rounds=9))
        call.incoming.put_nowait(grpc.aio.EOF)
        assert (await inbox.next()).kind == "finish"
        for _ in range(2):
            with pytest.raises(StreamClosed, match="before the run was finished"):
                await inbox.next()

    received(play)


def test_status_of_the_server_is_raised() -> None:
    async def play(call: FakeCall, inbox: Inbox) -> None:
        call.incoming.put_nowait(grpc.aio.EOF)
        with pytest.raises(grpc.aio.AioRpcError, match="in so many words"):
            await inbox.next()

    received(play, FakeCall(grpc.StatusCode.OUT_OF_RANGE))


def test_limit_and_expected_kind() -> None:
    async def play(call: FakeCall, inbox: Inbox) -> None:
        call.deliver(late=wire_pb2.Late(round=1))
        with pytest.raises(InvalidArgument, match="late came where welcome was expected"):
            await inbox.expect("welcome")
        call.deliver(entry=entry(0, CONTROL_BYTES))
        with pytest.raises(InvalidArgument, match=f"expected at most {CONTROL_BYTES} here"):
            await inbox.next()

    received(play)


def test_busy_worker_stops_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_inbox, "MAX_QUEUED_BYTES", 3000)

    async def play(call: FakeCall, inbox: Inbox) -> None:
        for round_ in range(6):
            call.deliver(entry=entry(round_, 1000))
        while call.incoming.qsize() > 3:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert call.incoming.qsize() == 3  # the third entry exceeds the limit
        assert [(await inbox.next()).message.entry.round for _ in range(6)] == list(range(6))

    received(play)


# ---- sending -----------------------------------------------------------------------------------------------


def sent(call: FakeCall, *messages: wire_pb2.FromWorker) -> wire_pb2.Traffic:
    async def run() -> wire_pb2.Traffic:
        chosen: Any = call
        outbox = Outbox(chosen, wire_pb2.Traffic())
        try:
            for message in messages:
                await outbox.send(message)
        finally:
            traffic.append(outbox.sent)
        return outbox.sent

    traffic: list[wire_pb2.Traffic] = []
    try:
        return asyncio.run(run())
    except Exception as error:
        error.add_note(str(traffic[0]))
        raise


def push(size: int) -> wire_pb2.FromWorker:
    return wire_pb2.FromWorker(push=wire_pb2.Push(payloads=bytes(size)))


def test_pushes_alone_are_counted() -> None:
    call = FakeCall()
    traffic = sent(
        call, wire_pb2.FromWorker(join=wire_pb2.Join(process="a")), push(10), push(PIECE_BYTES + 5)
    )
    assert traffic.messages == 2 and traffic.payload_bytes == PIECE_BYTES + 15
    assert traffic.message_bytes == sum(map(len, call.written[1:])) and len(call.written) == 4


def test_push_on_a_broken_connection_counts_as_sent() -> None:
    nothing = grpc.aio.Metadata()
    call = FakeCall()
    call.fails = grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, nothing, nothing)
    with pytest.raises(Unavailable, match="connection broke") as caught:
        sent(call, push(10))
    assert "messages: 1" in caught.value.__notes__[0]


def test_write_after_the_servers_end_raises_its_status() -> None:
    call = FakeCall(grpc.StatusCode.FAILED_PRECONDITION)
    call.fails = asyncio.InvalidStateError()
    with pytest.raises(grpc.aio.AioRpcError, match="in so many words"):
        sent(call, push(10))
    refused = FakeCall()
    refused.fails = grpc.aio.AioRpcError(
        grpc.StatusCode.OUT_OF_RANGE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="no such round"
    )
    with pytest.raises(grpc.aio.AioRpcError, match="no such round"):
        sent(refused, push(10))


def opened(sent: tuple[int, frozenset[int]], **message: Any) -> frozenset[int] | None:
    """The workers of whom a push is due after Open, of a process of three that stands at round 4."""
    state = SimpleNamespace(
        replica=SimpleNamespace(round=4),
        encoder=SimpleNamespace(workers=(0, 1, 2)),
        broken=[],
        reports=SimpleNamespace(skip_to=lambda round_: None),
    )
    stream: Any = Stream.__new__(Stream)
    stream._state, stream._pushed, stream._unacknowledged_report = state, sent, None
    asyncio.run(Stream._open_round(stream, wire_pb2.Open(round=4, **message)))
    due: frozenset[int] | None = stream._due
    return due


def test_open_names_those_of_whom_no_push_is_due() -> None:
    assert opened((-1, frozenset())) == {0, 1, 2}
    assert opened((-1, frozenset()), pushed=[1]) == {0, 2}
    assert opened((-1, frozenset()), pushed=[0, 1, 2]) == frozenset()


def test_second_open_asks_for_nothing_that_is_on_its_way() -> None:
    """A repeated push could come after the commit, and would be answered as if it had not been counted."""
    assert opened((4, frozenset({0})), pushed=[1]) == {2}
    assert opened((3, frozenset({0})), pushed=[1]) == {0, 2}, "of another round"
