"""Rounds to send: records of every shape that a log holds, folded into a model as the server folds them."""

from __future__ import annotations

import numpy as np

from gradwire.common.arrays.update import Vector
from gradwire.common.codecs import AnyCodec
from gradwire.common.downlinks import CommittedRound, Downlink
from gradwire.common.randomness import shared_seed, worker_coins
from gradwire.common.training.model import Model
from gradwire.common.training.record import RoundRecord, aggregate
from gradwire.common.transport.framing import Reassembler, frames
from gradwire.proto import wire_pb2

SEED = 5


def record_of(
    codec: AnyCodec, round_: int, workers: tuple[int, ...], *, weighed: bool = False
) -> RoundRecord:
    payloads = []
    for worker in workers:
        x = np.random.default_rng([round_, worker]).standard_normal(codec.dim)
        shared = shared_seed(SEED, round_, worker) if codec.shared_randomness else None
        payloads.append(codec.encode(x, worker_coins(SEED, round_, worker), shared=shared))
    return RoundRecord(
        round_, workers, tuple(payloads), tuple(1 + 200 * w for w in workers) if weighed else ()
    )


def committed(
    codec: AnyCodec, record: RoundRecord, model: Model, workers: int | None = None
) -> CommittedRound:
    """Fold a round of a run with so many workers into a model, as a lossless downlink does; by default all of them."""
    update: Vector = aggregate(codec, SEED, record)
    model.apply(update, 1.0 if workers is None else len(record.workers) / workers)
    return CommittedRound(record, update, model.params)


def sent(downlink: Downlink, round_: CommittedRound) -> tuple[wire_pb2.Entry, int]:
    """The entry as a replica receives it, and the bytes of its messages."""
    reader, message = Reassembler(wire_pb2.FromServer, 1 << 30), None
    for frame in frames(wire_pb2.FromServer(entry=downlink.build(round_))):
        assert message is None
        message = reader.add(frame)
    assert message is not None
    return message.entry, reader.received
