"""Bytes that a round must cost, and bytes that it did.

The sizes of a push and of an entry follow from the codec, the round and the number of workers. They are
written down here from the protobuf wire format itself, not by asking the library that makes the messages, so
that ``predicted == measured`` checks something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradwire.common.transport.limits import PIECE_BYTES

# ---- the protobuf wire format ------------------------------------------------------------------------------


def varint_bytes(value: int) -> int:
    """Bytes of a protobuf varint."""
    return max(1, (value.bit_length() + 6) // 7)


def varint_field(value: int) -> int:
    """A varint field with a one-byte tag; proto3 leaves zero out."""
    return 1 + varint_bytes(value) if value else 0


def bytes_field(length: int) -> int:
    """A length-delimited field with a one-byte tag; proto3 leaves an empty one out, unless it is part of a oneof."""
    return 1 + varint_bytes(length) + length if length else 0


def ids_field(ids: Sequence[int]) -> int:
    """A packed field of worker ids with a one-byte tag; proto3 leaves an empty one out."""
    return bytes_field(sum(map(varint_bytes, ids)))


def submessage(length: int) -> int:
    """A message field with a one-byte tag, or any field of a oneof: present even when it is empty."""
    return 1 + varint_bytes(length) + length


# ---- messages ----------------------------------------------------------------------------------------------


def framed_bytes(message: int) -> int:
    """Bytes of protobuf messages that carry one message of that length: itself, or its pieces."""
    if message <= PIECE_BYTES:
        return message
    whole, rest = divmod(message, PIECE_BYTES)
    first = submessage(bytes_field(PIECE_BYTES) + varint_field(message))
    return (
        first
        + (whole - 1) * submessage(bytes_field(PIECE_BYTES))
        + (submessage(bytes_field(rest)) if rest else 0)
    )


def push_bytes(
    round_: int,
    payloads: list[int],
    *,
    fixed_length: bool,
    losses: bool,
    examples: bool,
    digest: bool,
    workers: Sequence[int] = (),
) -> int:
    """Size in bytes of the FromWorker message that carries the payloads of a process.

    Args:
        round_: the round that they are for.
        payloads: bytes of each payload.
        fixed_length: the codec's payloads need no lengths beside them.
        losses: the push has a loss per payload.
        examples: it has an example count per payload.
        digest: it has a digest.
        workers: whose payloads they are, where they are not those of all workers of the process.
    """
    inner = varint_field(round_) + bytes_field(sum(payloads))
    if not fixed_length:
        inner += bytes_field(sum(varint_bytes(p) for p in payloads))
    inner += (losses + examples) * bytes_field(4 * len(payloads))
    inner += ids_field(workers)
    return framed_bytes(submessage(inner + 9 * digest))


def entry_bytes(round_: int, body: int, cohort: Sequence[int] = ()) -> int:
    """Size in bytes of the FromServer message with an entry.

    Args:
        round_: of the entry.
        body: bytes of its body, the tag included.
        cohort: the workers of the next round, where the entry names them.
    """
    return framed_bytes(submessage(varint_field(round_) + body + ids_field(cohort)))


# ---- counts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Size:
    """One count in bits or bytes: what it must be, and what it is."""

    predicted: int = 0
    measured: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.predicted + other.predicted, self.measured + other.measured)

    @property
    def as_predicted(self) -> bool:
        """Whether it is what it must be."""
        return self.predicted == self.measured


@dataclass(frozen=True)
class MessageSize:
    """What one message of round traffic must and does measure, layer by layer."""

    payload_bits: Size = Size()
    payload_bytes: Size = Size()
    message_bytes: Size = Size()


@dataclass
class Traffic:
    """Round traffic in one direction, added up: payload bits, payload bytes and protobuf message bytes."""

    messages: int = 0
    payload_bits: Size = Size()
    payload_bytes: Size = Size()
    message_bytes: Size = Size()

    def count(self, message: MessageSize) -> None:
        """Count one message."""
        self.messages += 1
        self.payload_bits += message.payload_bits
        self.payload_bytes += message.payload_bytes
        self.message_bytes += message.message_bytes

    @property
    def as_predicted(self) -> bool:
        """Whether every layer measured what was predicted."""
        return all(size.as_predicted for size in (self.payload_bits, self.payload_bytes, self.message_bytes))
