"""Messages to the server: written in pieces, pushes counted."""

from __future__ import annotations

import asyncio

import grpc

from gradwire.common.errors import Unavailable
from gradwire.common.transport.framing import frames
from gradwire.proto import wire_pb2
from gradwire.worker.inbox import Call, stream_error


class Outbox:
    """The sending half of one stream.

    Attributes:
        sent: pushes written; the server counts them too, and both must agree.
    """

    def __init__(self, call: Call, total: wire_pb2.Traffic) -> None:
        """Write to a call; ``total`` counts the pushes of all streams."""
        self._call, self._total = call, total
        self.sent = wire_pb2.Traffic()

    async def send(self, message: wire_pb2.FromWorker) -> None:
        """Write one message; a push counts as sent from its first byte on.

        Raises:
            Unavailable: the connection broke.
            StreamClosed, AioRpcError: the server has ended the stream.
        """
        pieces = tuple(frames(message))
        if message.HasField("push"):
            for counts in (self.sent, self._total):
                add_traffic(counts, len(message.push.payloads), sum(map(len, pieces)))
        try:
            for piece in pieces:
                await self._call.write(piece)
        except asyncio.InvalidStateError:  # what grpc raises once the server has ended the stream
            raise await stream_error(self._call) from None
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INTERNAL:
                raise
            # gRPC reports a write into a connection that just broke as INTERNAL, whatever status the server sent: if
            # that was a refusal, the next attempt is refused too.
            raise Unavailable("the connection broke while a message was written") from error

    async def half_close(self) -> None:
        """Tell the server that no more messages follow."""
        await self._call.done_writing()


def add_traffic(traffic: wire_pb2.Traffic, payload_bytes: int, message_bytes: int) -> None:
    """Count one message."""
    traffic.messages += 1
    traffic.payload_bytes += payload_bytes
    traffic.message_bytes += message_bytes
