"""Bytes that a round must cost, and bytes that it did.

The sizes of a push and of an entry follow from the codec, the round and the number of workers. They are
written down here from the protobuf wire format itself, not by asking the library that makes the messages, so
that ``predicted == measured`` checks something.
"""

from __future__ import annotations

from dataclasses import dataclass, field


def varint_bytes(value: int) -> int:
    """Bytes of a protobuf varint."""
    return max(1, (value.bit_length() + 6) // 7)


def _varint_field(value: int) -> int:
    """A varint field with a one-byte tag; proto3 leaves zero out."""
    return 1 + varint_bytes(value) if value else 0


def _bytes_field(length: int) -> int:
    """A length-delimited field with a one-byte tag; proto3 leaves an empty one out."""
    return 1 + varint_bytes(length) + length if length else 0


def _submessage(length: int) -> int:
    """A message field with a one-byte tag: present even when it is empty."""
    return 1 + varint_bytes(length) + length


PIECE_BYTES = 1 << 20  # a longer message travels in pieces of this many of its own bytes


def framed_bytes(message: int) -> int:
    """Bytes of protobuf messages that carry one message of that length: itself, or its pieces."""
    if message <= PIECE_BYTES:
        return message
    whole, rest = divmod(message, PIECE_BYTES)
    first = _submessage(_bytes_field(PIECE_BYTES) + _varint_field(message))
    return (
        first
        + (whole - 1) * _submessage(_bytes_field(PIECE_BYTES))
        + (_submessage(_bytes_field(rest)) if rest else 0)
    )


def push_bytes(
    round_: int, payloads: list[int], *, fixed_length: bool, losses: bool, examples: bool, digest: bool
) -> int:
    """Size in bytes of the FromWorker message that carries a process's payloads of those lengths (bytes)."""
    inner = _varint_field(round_) + _bytes_field(sum(payloads))
    if not fixed_length:
        inner += _bytes_field(sum(varint_bytes(p) for p in payloads))
    inner += (losses + examples) * _bytes_field(4 * len(payloads))
    return framed_bytes(_submessage(inner + 9 * digest))


def log_entry_bytes(
    round_: int,
    workers: tuple[int, ...],
    payloads: list[int],
    *,
    fixed_length: bool,
    everyone: bool,
    examples: bool,
) -> int:
    """Size in bytes of the FromServer message that relays a round's payloads of those lengths (bytes)."""
    body = _bytes_field(sum(payloads))
    if not everyone:
        body += _bytes_field(sum(varint_bytes(w) for w in workers))
    if not fixed_length:
        body += _bytes_field(sum(varint_bytes(p) for p in payloads))
    if examples:
        body += _bytes_field(4 * len(payloads))
    return framed_bytes(_submessage(_varint_field(round_) + _submessage(body)))


def sum_entry_bytes(round_: int, dim: int, touched: int | None) -> int:
    """Size in bytes of the FromServer message with the mean update: dense, or sparse with ``touched`` coordinates."""
    if touched is None:
        body = _bytes_field(4 * dim)
    else:
        body = _bytes_field(4 * touched) + _bytes_field((touched * (dim - 1).bit_length() + 7) // 8) + 2
    return framed_bytes(_submessage(_varint_field(round_) + _submessage(body)))


def model_entry_bytes(round_: int, dim: int) -> int:
    """Size in bytes of the FromServer message with all parameters."""
    return framed_bytes(_submessage(_varint_field(round_) + _bytes_field(4 * dim)))


@dataclass
class Layer:
    """One count, as predicted and as measured."""

    predicted: int = 0
    measured: int = 0


@dataclass
class Traffic:
    """Round traffic in one direction, added up: payload bits, payload bytes and protobuf message bytes."""

    messages: int = 0
    payload_bits: Layer = field(default_factory=Layer)
    payload_bytes: Layer = field(default_factory=Layer)
    message_bytes: Layer = field(default_factory=Layer)

    def count(
        self, *, bits: tuple[int, int], payload: tuple[int, int], message: tuple[int, int], times: int = 1
    ) -> None:
        """Count one message sent ``times`` times; each pair is (predicted, measured)."""
        self.messages += times
        for layer, (predicted, measured) in (
            (self.payload_bits, bits),
            (self.payload_bytes, payload),
            (self.message_bytes, message),
        ):
            layer.predicted += predicted * times
            layer.measured += measured * times

    @property
    def as_predicted(self) -> bool:
        """Whether every layer measured what was predicted."""
        layers = (self.payload_bits, self.payload_bytes, self.message_bytes)
        return all(layer.predicted == layer.measured for layer in layers)
