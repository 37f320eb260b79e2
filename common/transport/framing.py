"""Messages of any length over a stream with a fixed message limit.

A message longer than 1 MiB is sent as pieces of its own bytes. The caller can then set from the codec, message by
message, how much a peer may make this side buffer; a transport option would have to be known before the first byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError

from gradwire.common.errors import InvalidArgument
from gradwire.common.transport.limits import PIECE_BYTES
from gradwire.proto import wire_pb2

M = TypeVar("M", bound=wire_pb2.FromWorker | wire_pb2.FromServer)


def frames(message: wire_pb2.FromWorker | wire_pb2.FromServer) -> Iterator[bytes]:
    """The bytes to write for one message: itself, or its pieces."""
    raw = message.SerializeToString()
    if len(raw) <= PIECE_BYTES:
        yield raw
        return
    view = memoryview(raw)
    for start in range(0, len(raw), PIECE_BYTES):
        piece = wire_pb2.Piece(data=bytes(view[start : start + PIECE_BYTES]), total=0 if start else len(raw))
        yield type(message)(piece=piece).SerializeToString()


class Reassembler(Generic[M]):
    """Reassembles messages from the frames of a stream.

    Attributes:
        limit: bytes of the longest message that the peer may send next.
        received: bytes of the frames of the last message returned.
    """

    def __init__(self, kind: type[M], limit: int) -> None:
        self._kind: type[M] = kind
        self.limit = limit
        self.received = 0
        self._pieces = bytearray()
        self._total = 0
        self._count = 0

    def add(self, raw: bytes) -> M | None:
        """The message that this frame completes, or None while pieces are missing.

        Raises:
            InvalidArgument: not a message, longer than the limit, or pieces that do not fit together.
        """
        self._count += len(raw)
        message = self._parse(raw)
        if message.WhichOneof("message") != "piece":
            if self._total:
                raise InvalidArgument("a message came between the pieces of another: the stream is damaged")
            self._check(len(raw))
            return self._complete(message)
        return self._piece(message.piece)

    def _piece(self, piece: wire_pb2.Piece) -> M | None:
        if bool(piece.total) == bool(self._total) or not piece.data:
            raise InvalidArgument("a piece does not continue the one before: the stream is damaged")
        if piece.total:
            self._check(piece.total)
            self._total = piece.total
        if len(self._pieces) + len(piece.data) > self._total:
            raise InvalidArgument(
                f"pieces of more than the {self._total} bytes announced: the stream is damaged"
            )
        self._pieces += piece.data
        if len(self._pieces) < self._total:
            return None
        message = self._parse(bytes(self._pieces))
        self._pieces.clear()
        self._total = 0
        return self._complete(message)

    def _complete(self, message: M) -> M:
        self.received, self._count = self._count, 0
        return message

    def _check(self, length: int) -> None:
        if length > self.limit:
            raise InvalidArgument(f"a message of {length} bytes, expected at most {self.limit} here")

    def _parse(self, raw: bytes) -> M:
        message = self._kind()
        try:
            message.MergeFromString(raw)
        except DecodeError as error:
            raise InvalidArgument(
                "bytes that are not a gradwire message: the peer speaks another protocol"
            ) from error
        return message
