"""Messages between a user's program and its wire process: JSON objects and bytes on a pair of sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from struct import Struct
from typing import Any

Message = dict[str, Any]
_HEAD = Struct("<IQ")  # bytes of the JSON text, and of what follows it


class Closed(Exception):
    """The other end is gone."""


def pack(message: Message, attachments: Sequence[bytes] = ()) -> bytes:
    """A message as it is written; ``attachments`` follow it, and its field ``attached`` holds their lengths."""
    if attachments:
        message = {**message, "attached": [len(part) for part in attachments]}
    text = json.dumps(message).encode()
    return b"".join((_HEAD.pack(len(text), sum(map(len, attachments))), text, *attachments))


def receive(channel: socket.socket) -> Message:
    """The next message of a blocking socket.

    Raises:
        Closed: the other end has closed it.
    """
    head = _exactly(channel, _HEAD.size)
    length, rest = _HEAD.unpack(head)
    return _parsed(_exactly(channel, length), _exactly(channel, rest))


async def read(reader: asyncio.StreamReader) -> Message:
    """The next message of a stream.

    Raises:
        Closed: the other end has closed it.
    """
    try:
        length, rest = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        return _parsed(await reader.readexactly(length), await reader.readexactly(rest))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise Closed from error


def _exactly(channel: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        try:
            part = channel.recv(min(length - len(data), 1 << 20))
        except ConnectionError as error:
            raise Closed from error
        if not part:
            raise Closed
        data += part
    return bytes(data)


def _parsed(text: bytes, rest: bytes) -> Message:
    message: Message = json.loads(text)
    parts, at = [], 0
    for length in message.pop("attached", ()):
        parts.append(rest[at : at + length])
        at += length
    return {**message, "attachments": parts} if parts else message
