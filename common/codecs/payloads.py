"""Payload bytes on their way through a family's hooks, with the checks that every codec needs; for the accumulator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader
from gradwire.common.arrays.compat import U8
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs.symbols import stack, unstack
from gradwire.common.errors import PayloadError

if TYPE_CHECKING:
    from gradwire.common.codecs.codec import Codec
    from gradwire.common.codecs.hooks import S


Estimate: TypeAlias = Terms | NDArray[np.float64]  # in the index domain


def stack_payloads(codec: Codec[S], payloads: Sequence[bytes]) -> U8:
    """Payloads of a codec of fixed length as one array uint8 [n, nbytes].

    Raises:
        PayloadError: one of them has another length.
    """
    wrong = next((len(p) for p in payloads if len(p) != codec.nbytes), None)
    if wrong is not None:
        raise PayloadError(f"{codec.name}: the payload has {wrong} bytes, expected {codec.nbytes}")
    return np.frombuffer(b"".join(payloads), np.uint8).reshape(len(payloads), codec.nbytes)


def unpack_checked(codec: Codec[S], payload: bytes | U8) -> S:
    """The symbols of one payload, or of a batch uint8 [n, nbytes].

    Raises:
        PayloadError: a wrong length, non-zero padding, or bits that the family refuses; the message names the codec.
    """
    size = len(payload) if isinstance(payload, bytes) else payload.shape[-1]
    if size > codec.nbytes or (codec.fixed_length and size != codec.nbytes):
        raise PayloadError(f"{codec.name}: the payload has {size} bytes, expected {codec.nbytes}")
    bits = BitReader(payload)
    try:
        symbols = codec._unpack(bits)
    except PayloadError as error:
        # The parts of a codec that find a fault do not know the codec's name.
        raise PayloadError(f"{codec.name}: {error}") from error
    padding = 8 * size - bits.position
    last = np.frombuffer(payload, np.uint8) if isinstance(payload, bytes) else payload
    if padding >= 8 or (padding and (last[..., -1] >> (8 - padding)).any()):
        raise PayloadError(f"{codec.name}: bits are set after the payload's end, expected zero padding")
    return symbols


def unpack_all(codec: Codec[S], payloads: Sequence[bytes]) -> Iterator[S]:
    """The symbols of payloads, in order: one payload at a time unless the codec ``batches``.

    Raises:
        PayloadError: as ``unpack_checked``.
    """
    if codec.batches and payloads:
        yield from unstack(unpack_checked(codec, stack_payloads(codec, payloads)), len(payloads))
    else:
        for payload in payloads:
            yield unpack_checked(codec, payload)


def partial_decode_all(
    codec: Codec[S],
    payloads: Sequence[bytes],
    weights: Sequence[float],
    shared: Sequence[int | None] | None,
) -> Iterator[Estimate]:
    """Payloads times their weights in the index domain, in order; as one sum where the codec ``batches``.

    Args:
        codec: of the payloads.
        payloads: n of them.
        weights: n positive numbers.
        shared: n public seeds; None where the codec needs none.

    Raises:
        PayloadError: as ``unpack_checked``.
        DomainError: a seed is missing.
    """
    if codec.batches and payloads:
        yield _weighted_sum(codec, unpack_checked(codec, stack_payloads(codec, payloads)), weights)
    else:
        symbols = (unpack_checked(codec, payload) for payload in payloads)
        yield from partial_decode_unpacked(codec, symbols, weights, shared or [None] * len(payloads))


def partial_decode_unpacked(
    codec: Codec[S], symbols: Iterable[S], weights: Sequence[float], shared: Sequence[int | None]
) -> Iterator[Estimate]:
    """The same for payloads that ``unpack_all`` has read, bit for bit.

    Args:
        codec: of the payloads.
        symbols: of n payloads, in order.
        weights: n positive numbers.
        shared: n public seeds, or None.

    Raises:
        DomainError: a seed is missing.
    """
    if codec.batches and weights:
        yield _weighted_sum(codec, stack(list(symbols)), weights)
    else:
        for each, weight, seed in zip(symbols, weights, shared, strict=True):
            yield _scaled(codec._reconstruct(each, codec._shared_seed(seed)), weight)


def _weighted_sum(codec: Codec[S], batch: S, weights: Sequence[float]) -> Estimate:
    return codec._reconstruct(codec._apply_weights(batch, np.asarray(weights, np.float64)), 0)


def _scaled(estimate: Estimate, weight: float) -> Estimate:
    if isinstance(estimate, Terms):
        return Terms(estimate.size, estimate.indices, estimate.weights * weight)
    return estimate if weight == 1 else estimate * weight
