"""The protocol's number and methods, and the message that carries a process's payloads, with its predicted size.

Server and worker both call these, so neither can disagree with the other about a layout.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradwire.common.codecs import AnyCodec
from gradwire.common.transport import traffic
from gradwire.proto import wire_pb2

PROTOCOL = 2
METHOD = "/gradwire.v1.ParameterServer/Train"
WATCH = "/gradwire.v1.ParameterServer/Watch"


def push_message(
    codec: AnyCodec,
    round_: int,
    payloads: Sequence[bytes],
    *,
    losses: Sequence[float] = (),
    examples: Sequence[int] = (),
    digest: int = 0,
    workers: Sequence[int] = (),
) -> wire_pb2.FromWorker:
    """The push of one process.

    Args:
        codec: the run's codec.
        round_: the round that the payloads are for.
        payloads: of its workers, in the order of their ids.
        losses: one per worker, or none.
        examples: likewise.
        digest: of the parameters that the gradients were taken at; 0 for none.
        workers: whose payloads these are, increasing; none where they are those of all its workers.
    """
    push = wire_pb2.Push(
        round=round_,
        payloads=b"".join(payloads),
        losses=losses,
        examples=examples,
        digest=digest,
        workers=workers,
    )
    if not codec.fixed_length:
        push.lengths.extend(len(p) for p in payloads)
    return wire_pb2.FromWorker(push=push)


def predicted_push_bytes(codec: AnyCodec, push: wire_pb2.Push, workers: int) -> int:
    """What the message that carries this push, of a process with so many workers, must measure, in bytes."""
    count = len(push.workers) or workers
    lengths = [codec.nbytes] * count if codec.fixed_length else list(push.lengths)
    return traffic.push_bytes(
        push.round,
        lengths,
        fixed_length=codec.fixed_length,
        losses=bool(push.losses),
        examples=bool(push.examples),
        digest=bool(push.digest),
        workers=push.workers,
    )


def longest_push(codec: AnyCodec, workers: int) -> int:
    """Bytes that no push of so many workers exceeds: payloads, lengths, losses, example counts, ids and digest."""
    return workers * (codec.nbytes + 32) + 64
