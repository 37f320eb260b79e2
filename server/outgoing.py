"""Messages on their way to workers, with what they must and do measure."""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.common.codecs import AnyCodec
from gradwire.common.model import Model
from gradwire.common.record import RoundRecord
from gradwire.common.transport import protocol
from gradwire.common.transport.framing import frames
from gradwire.common.update import Sparse, Vector
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
    measured = len(message.entry.payloads.data)
    lengths = [codec.nbytes if codec.fixed_length else len(p) for p in record.payloads]
    bits = sum(codec.nbits if codec.fixed_length else 8 * len(p) for p in record.payloads)
    predicted = protocol.predicted_log_entry_bytes(codec, record, workers)
    return _entry(message, Size(bits, bits), Size(sum(lengths), measured), predicted)


def sum_entry(round_: int, update: Vector, dim: int) -> OutgoingEntry:
    """The mean update of a round."""
    message = protocol.sum_entry(round_, update)
    measured = len(message.entry.sum.values) + len(message.entry.sum.indices)
    if isinstance(update, Sparse):
        index_bits = update.indices.size * (dim - 1).bit_length()
        bits, expected = (
            32 * update.indices.size + index_bits,
            4 * update.indices.size + (index_bits + 7) // 8,
        )
    else:
        bits, expected = 32 * dim, 4 * dim
    return _entry(
        message,
        Size(bits, bits),
        Size(expected, measured),
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
