"""A stream's messages: reassembled, in order, of the kind expected, in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import pytest

from gradwire.common.errors import InvalidArgument, Unavailable
from gradwire.common.transport.framing import frames
from gradwire.common.transport.limits import CONTROL_BYTES
from gradwire.proto import wire_pb2
from gradwire.server.stream.inbox import Inbox

JOIN = wire_pb2.FromWorker(join=wire_pb2.Join(process="a"))
LARGE = wire_pb2.FromWorker(initial=wire_pb2.Snapshot(state=bytes(3 << 20)))


async def stream(raw: Iterable[bytes], *, stays_open: bool = False) -> AsyncIterator[bytes]:
    for each in raw:
        yield each
    if stays_open:
        await asyncio.Event().wait()


def read(
    use: Callable[[Inbox], Awaitable[object]], *messages: wire_pb2.FromWorker, stays_open: bool = False
) -> object:
    raw = [frame for message in messages for frame in frames(message)]

    async def main() -> object:
        requests = stream(raw, stays_open=stays_open)
        try:
            return await use(Inbox(requests))
        finally:
            await requests.aclose()  # type: ignore[attr-defined]

    return asyncio.run(main())


def test_messages_come_in_order_and_then_the_end() -> None:
    async def use(inbox: Inbox) -> object:
        return [await inbox.next() for _ in range(3)]

    report = wire_pb2.FromWorker(report=wire_pb2.Report(round=3))
    assert read(use, JOIN, report) == [JOIN, report, None]


def test_a_message_in_pieces_is_one_message() -> None:
    async def use(inbox: Inbox) -> object:
        inbox.assembly.limit = 4 << 20
        message = await inbox.next()
        return message, inbox.assembly.received

    message, received = read(use, LARGE)  # type: ignore[misc]
    assert message == LARGE and received == sum(map(len, frames(LARGE)))


def test_no_message_is_longer_than_the_limit_allows() -> None:
    with pytest.raises(InvalidArgument, match=f"expected at most {CONTROL_BYTES} here"):
        read(lambda inbox: inbox.next(), LARGE)


def test_a_message_of_the_kind_expected() -> None:
    assert read(lambda inbox: inbox.expect("join"), JOIN) == JOIN


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([JOIN], "join came where ready was expected"),
        ([], "the end of the stream came where ready"),
        ([wire_pb2.FromWorker()], "None came where ready"),
    ],
)
def test_another_kind_is_refused(messages: list[wire_pb2.FromWorker], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        read(lambda inbox: inbox.expect("ready"), *messages)


def test_a_silent_stream_is_given_up() -> None:
    with pytest.raises(Unavailable, match="no message within 0 s: join again"):
        read(lambda inbox: inbox.expect("initial", 0), stays_open=True)


def test_the_time_is_for_each_frame_not_for_the_message() -> None:
    """Pieces that keep coming are waited for: the limit for all of them is the caller's."""

    async def use(inbox: Inbox) -> object:
        inbox.assembly.limit = 4 << 20
        return await inbox.expect("initial", 600.0)

    assert read(use, LARGE, stays_open=True) == LARGE
