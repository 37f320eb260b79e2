"""Payloads joined in one bytes field, as pushes and entries carry them: what they must measure, do measure, and apart.

Codecs of a fixed length need no lengths beside the bytes; others send the length of each payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import InvalidArgument


def predicted(codec: AnyCodec, count: int, lengths: Sequence[int]) -> tuple[int, int]:
    """(bits, bytes) that so many payloads must have: the codec's own, or as declared where its length is not fixed."""
    if codec.fixed_length:
        return count * codec.nbits, count * codec.nbytes
    return 8 * sum(lengths), sum(lengths)


def measured(codec: AnyCodec, count: int, data: bytes) -> tuple[int, int]:
    """(bits, bytes) of joined payloads as they crossed the wire.

    The zero bits that fill up a payload's last byte are not counted.
    """
    padding = 8 * codec.nbytes - codec.nbits if codec.fixed_length else 0
    return 8 * len(data) - count * padding, len(data)


def split(codec: AnyCodec, data: bytes, lengths: Sequence[int], count: int) -> tuple[bytes, ...]:
    """Cut joined payloads apart.

    Args:
        codec: the run's codec.
        data: the payloads, one after the other.
        lengths: bytes of each; empty where the codec has a fixed length.
        count: how many payloads there must be.

    Raises:
        InvalidArgument: the lengths do not add up.
    """
    if codec.fixed_length:
        if lengths:
            raise InvalidArgument(f"{codec.name} has a fixed length: expected no lengths, got {len(lengths)}")
        lengths = [codec.nbytes] * count
    if len(lengths) != count or sum(lengths) != len(data):
        raise InvalidArgument(
            f"{len(data)} payload bytes for {count} workers, expected {sum(lengths)} ({codec.name})"
        )
    return tuple(data[end - length : end] for end, length in zip(accumulate(lengths), lengths, strict=True))
