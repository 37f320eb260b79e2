"""The messages that carry rounds: building and reading pushes and entries, with their predicted sizes.

Server and worker both call these, so neither can disagree with the other about a layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from gradwire.common.arrays.bits import pack, unpack
from gradwire.common.arrays.compat import F32
from gradwire.common.arrays.update import Sparse, Vector
from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import InvalidArgument
from gradwire.common.training.record import RoundRecord
from gradwire.common.transport import traffic
from gradwire.proto import wire_pb2

PROTOCOL = 1
METHOD = "/gradwire.v1.ParameterServer/Train"


# ---- pushes ------------------------------------------------------------------------------------------------


def push_message(
    codec: AnyCodec,
    round_: int,
    payloads: Sequence[bytes],
    *,
    losses: Sequence[float] = (),
    examples: Sequence[int] = (),
    digest: int = 0,
) -> wire_pb2.FromWorker:
    """The push of one process: the payloads of its workers in the order of their ids."""
    push = wire_pb2.Push(
        round=round_, payloads=b"".join(payloads), losses=losses, examples=examples, digest=digest
    )
    if not codec.fixed_length:
        push.lengths.extend(len(p) for p in payloads)
    return wire_pb2.FromWorker(push=push)


def predicted_push_bytes(codec: AnyCodec, push: wire_pb2.Push, workers: int) -> int:
    """What the message that carries this push must measure, in bytes."""
    lengths = [codec.nbytes] * workers if codec.fixed_length else list(push.lengths)
    return traffic.push_bytes(
        push.round,
        lengths,
        fixed_length=codec.fixed_length,
        losses=bool(push.losses),
        examples=bool(push.examples),
        digest=bool(push.digest),
    )


def predicted_payloads(codec: AnyCodec, count: int, lengths: Sequence[int]) -> tuple[int, int]:
    """(bits, bytes) that so many payloads must have: the codec's own, or as declared where its length is not fixed."""
    if codec.fixed_length:
        return count * codec.nbits, count * codec.nbytes
    return 8 * sum(lengths), sum(lengths)


def measured_payloads(codec: AnyCodec, count: int, data: bytes) -> tuple[int, int]:
    """(bits, bytes) of concatenated payloads as they crossed the wire.

    The zero bits that fill up a payload's last byte are not counted.
    """
    padding = 8 * codec.nbytes - codec.nbits if codec.fixed_length else 0
    return 8 * len(data) - count * padding, len(data)


def split_payloads(codec: AnyCodec, data: bytes, lengths: Sequence[int], count: int) -> tuple[bytes, ...]:
    """Cut concatenated payloads apart.

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


# ---- entries -----------------------------------------------------------------------------------------------


def log_entry(codec: AnyCodec, record: RoundRecord, workers: int) -> wire_pb2.FromServer:
    """An entry that relays a round's payloads; the cohort is named only when somebody of ``workers`` is missing."""
    payloads = wire_pb2.Payloads(data=b"".join(record.payloads), examples=record.examples)
    if len(record.workers) < workers:
        payloads.workers.extend(record.workers)
    if not codec.fixed_length:
        payloads.lengths.extend(len(p) for p in record.payloads)
    return wire_pb2.FromServer(entry=wire_pb2.Entry(round=record.round, payloads=payloads))


def sum_entry(round_: int, update: Vector) -> wire_pb2.FromServer:
    """An entry that carries the mean update: float32 [dim], dense or sparse."""
    body = wire_pb2.Sum()
    if isinstance(update, Sparse):
        body.sparse = True
        body.indices = pack(update.indices, (update.size - 1).bit_length()).tobytes()
        body.values = np.ascontiguousarray(update.values, "<f4").tobytes()
    else:
        body.values = np.ascontiguousarray(update, "<f4").tobytes()
    return wire_pb2.FromServer(entry=wire_pb2.Entry(round=round_, sum=body))


def model_entry(round_: int, params: F32) -> wire_pb2.FromServer:
    """An entry that carries all parameters, float32 [dim], after the round."""
    return wire_pb2.FromServer(
        entry=wire_pb2.Entry(round=round_, model=np.ascontiguousarray(params, "<f4").tobytes())
    )


def predicted_log_entry_bytes(codec: AnyCodec, record: RoundRecord, workers: int) -> int:
    """What the message that relays this round must measure, in bytes."""
    count = len(record.workers)
    return traffic.log_entry_bytes(
        record.round,
        record.workers,
        [codec.nbytes] * count if codec.fixed_length else [len(p) for p in record.payloads],
        fixed_length=codec.fixed_length,
        everyone=count == workers,
        examples=bool(record.examples),
    )


def predicted_sum_entry_bytes(round_: int, update: Vector, dim: int) -> int:
    """What the message with this mean update must measure, in bytes."""
    touched = update.indices.size if isinstance(update, Sparse) else None
    return traffic.sum_entry_bytes(round_, dim, touched)


def predicted_model_entry_bytes(round_: int, dim: int) -> int:
    """What the message with all parameters must measure, in bytes."""
    return traffic.model_entry_bytes(round_, dim)


def record_of(codec: AnyCodec, entry: wire_pb2.Entry, workers: int) -> RoundRecord:
    """The round record that a log entry carries.

    Raises:
        InvalidArgument: its parts do not fit together.
    """
    body = entry.payloads
    cohort = tuple(body.workers) or tuple(range(workers))
    payloads = split_payloads(codec, body.data, body.lengths, len(cohort))
    return RoundRecord(entry.round, cohort, payloads, tuple(body.examples))


def update_of(body: wire_pb2.Sum, dim: int) -> Vector:
    """The mean update that a sum entry carries: float32 [dim].

    Raises:
        InvalidArgument: its parts do not fit the dimension.
    """
    values = np.frombuffer(body.values, "<f4") if len(body.values) % 4 == 0 else np.zeros(0, np.float32)
    if not body.sparse:
        if len(body.values) != 4 * dim:
            raise InvalidArgument(f"a dense update has {len(body.values)} bytes, expected {4 * dim}")
        return values
    width = (dim - 1).bit_length()
    if len(body.values) % 4 or len(body.indices) != (values.size * width + 7) // 8:
        raise InvalidArgument(
            f"a sparse update has {len(body.values)} value and {len(body.indices)} index bytes: they do not match"
        )
    indices = unpack(np.frombuffer(body.indices, np.uint8), values.size, width)
    if values.size and (int(indices.max()) >= dim or bool((np.diff(indices) <= 0).any())):
        raise InvalidArgument(f"a sparse update has indices that are not increasing below {dim}")
    return Sparse(dim, indices, values)


def parameters_of(data: bytes, dim: int) -> F32:
    """The parameters that a model entry carries: float32 [dim].

    Raises:
        InvalidArgument: another length.
    """
    if len(data) != 4 * dim:
        raise InvalidArgument(f"a model of {len(data)} bytes, expected {4 * dim}")
    return np.frombuffer(data, "<f4")
