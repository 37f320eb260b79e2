"""Messages on their way to workers, with what they must and do measure."""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.common.arrays.update import Sparse, Vector
from gradwire.common.codecs import AnyCodec
from gradwire.common.training.model import Model
from gradwire.common.training.record import RoundRecord
from gradwire.common.transport import protocol
from gradwire.common.transport.framing import frames
from gradwire.proto import wire_pb2


@dataclass(frozen=True)
class Size:
    """One count in bits or bytes: what it must be, and what it is."""

    predicted: int = 0
    measured: int = 0


@dataclass(frozen=True)
class Outgoing:
    """The frames of one message; serialized once, however many processes it goes to."""

    frames: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes of all frames."""
        return sum(map(len, self.frames))

    @classmethod
    def of(cls, message: wire_pb2.FromServer) -> Outgoing:
        """A message that is not round traffic."""
        return cls(tuple(frames(message)))


@dataclass(frozen=True)
class OutgoingEntry(Outgoing):
    """An entry of the log in the run's downlink form."""

    payload_bits: Size = Size()
    payload_bytes: Size = Size()
    message_bytes: Size = Size()


def snapshot_message(model: Model) -> Outgoing:
    """The whole model."""
    snapshot = wire_pb2.Snapshot(round=model.round, state=model.snapshot())
    return Outgoing.of(wire_pb2.FromServer(snapshot=snapshot))


def log_entry(codec: AnyCodec, record: RoundRecord, workers: int) -> OutgoingEntry:
    """A round's payloads, relayed."""
    message = protocol.log_entry(codec, record, workers)
    count = len(record.workers)
    expected = protocol.predicted_payloads(codec, count, [len(p) for p in record.payloads])
    sent = protocol.measured_payloads(codec, count, message.entry.payloads.data)
    predicted = protocol.predicted_log_entry_bytes(codec, record, workers)
    return _entry(message, Size(expected[0], sent[0]), Size(expected[1], sent[1]), predicted)


def sum_entry(round_: int, update: Vector, dim: int) -> OutgoingEntry:
    """The mean update of a round."""
    message = protocol.sum_entry(round_, update)
    values, indices = len(message.entry.sum.values), len(message.entry.sum.indices)
    touched, index_bits = dim, 0
    if isinstance(update, Sparse):
        touched = update.indices.size
        index_bits = touched * (dim - 1).bit_length()
    padding = -index_bits % 8  # of the packed indices' last byte
    return _entry(
        message,
        Size(32 * touched + index_bits, 8 * (values + indices) - padding),
        Size(4 * touched + (index_bits + 7) // 8, values + indices),
        protocol.predicted_sum_entry_bytes(round_, update, dim),
    )


def model_entry(round_: int, model: Model) -> OutgoingEntry:
    """All parameters after a round."""
    message = protocol.model_entry(round_, model.params)
    measured = len(message.entry.model)
    predicted = protocol.predicted_model_entry_bytes(round_, model.dim)
    return _entry(message, Size(32 * model.dim, 8 * measured), Size(4 * model.dim, measured), predicted)


def _entry(message: wire_pb2.FromServer, bits: Size, payload: Size, predicted: int) -> OutgoingEntry:
    pieces = tuple(frames(message))
    return OutgoingEntry(pieces, bits, payload, Size(predicted, sum(map(len, pieces))))
