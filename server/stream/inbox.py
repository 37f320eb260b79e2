"""Messages from a worker, reassembled and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gradwire.common.errors import InvalidArgument, Unavailable
from gradwire.common.transport.framing import Reassembler
from gradwire.common.transport.limits import CONTROL_BYTES
from gradwire.proto import wire_pb2


class Inbox:
    """The messages of one stream; ``assembly.limit`` (bytes) is the longest that the worker may send next."""

    def __init__(self, requests: AsyncIterator[bytes]) -> None:
        self._requests = aiter(requests)
        self.assembly = Reassembler(wire_pb2.FromWorker, CONTROL_BYTES)

    async def next(self, timeout: float | None = None) -> wire_pb2.FromWorker | None:
        """The next message; None when the worker has closed its side.

        Raises:
            InvalidArgument: not a message that may come here.
            Unavailable: nothing came for ``timeout`` seconds.
        """
        while True:
            try:
                async with asyncio.timeout(timeout):
                    raw = await anext(self._requests, None)
            except TimeoutError as error:
                raise Unavailable(f"no message within {timeout:g} s: join again") from error
            message = self.assembly.add(raw) if raw is not None else None
            if raw is None or message is not None:
                return message

    async def expect(self, kind: str, timeout: float | None = None) -> wire_pb2.FromWorker:
        """The next message, which has to be of that kind.

        Raises:
            InvalidArgument: it is not.
            Unavailable: nothing came for ``timeout`` seconds.
        """
        message = await self.next(timeout)
        got = message.WhichOneof("message") if message is not None else "the end of the stream"
        if message is None or got != kind:
            raise InvalidArgument(f"{got} came where {kind} was expected: the peer speaks another protocol")
        return message
