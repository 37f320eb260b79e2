"""Messages between a program and its wire process."""

import asyncio
import socket
import threading

import pytest

from gradwire.worker.join import frames
from gradwire.worker.join.frames import Message


@pytest.mark.parametrize("attachments", [(), (b"",), (b"abc", b"", b"\x00" * 70_000)])
def test_messages_arrive_as_they_were_sent(attachments: tuple[bytes, ...]) -> None:
    message = {"update": True, "text": "ü\n", "loss": 0.1}
    packed = frames.pack(message, attachments)
    expected = {**message, "attachments": list(attachments)} if attachments else message

    async def read() -> Message:
        reader = asyncio.StreamReader()
        reader.feed_data(packed[:5])
        reader.feed_data(packed[5:])
        return await frames.read(reader)

    assert asyncio.run(read()) == expected
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=ours.sendall, args=(packed,))
        sender.start()
        assert frames.receive(theirs) == expected
        sender.join()


@pytest.mark.parametrize("kept", [0, 3, 12, 20])
def test_an_end_in_the_middle_of_a_message(kept: int) -> None:
    async def read() -> Message:
        reader = asyncio.StreamReader()
        reader.feed_data(frames.pack({"update": True})[:kept])
        reader.feed_eof()
        return await frames.read(reader)

    with pytest.raises(frames.Closed):
        asyncio.run(read())
