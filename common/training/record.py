"""A committed round, and the pure function from it to the mean update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradwire.common.arrays.update import Vector
from gradwire.common.codecs import AnyCodec
from gradwire.common.randomness import shared_seed


@dataclass(frozen=True)
class RoundRecord:
    """One round in the log: the payloads that were counted, in worker order.

    Attributes:
        workers: ids of the cohort, increasing.
        payloads: one per worker.
        examples: one per worker, where the run weighs workers by examples; else empty.
        sent: what the downlink sent to the replicas, where it cannot be computed again from the payloads; else empty.
    """

    round: int
    workers: tuple[int, ...]
    payloads: tuple[bytes, ...]
    examples: tuple[int, ...] = ()
    sent: bytes = b""


def aggregate(codec: AnyCodec, seed: int, record: RoundRecord, unpacked: Sequence[Any] = ()) -> Vector:
    """The weighted mean of a round's payloads: float32 [dim], the same bits on every machine.

    Args:
        codec: the run's codec.
        seed: the run's seed.
        record: the round.
        unpacked: the payloads as ``unpack_all`` read them before, in worker order; None where one was not kept, and
            empty where none was.

    Raises:
        PayloadError: a payload is malformed.
    """
    total = codec.accumulator()
    weights = record.examples or (1,) * len(record.payloads)
    seeds = [shared_seed(seed, record.round, w) if codec.shared_randomness else None for w in record.workers]
    if unpacked:
        both = zip(unpacked, record.payloads, strict=True)
        symbols = (kept if kept is not None else next(codec.unpack_all([payload])) for kept, payload in both)
        total.add_unpacked(symbols, weights, shared=seeds)
    else:
        total.add_all(record.payloads, weights, shared=seeds)
    return total.mean()
