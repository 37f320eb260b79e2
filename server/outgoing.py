"""Messages on their way to workers, with what they must and do measure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gradwire.common.downlinks import CommittedRound, Downlink
from gradwire.common.training.model import Model
from gradwire.common.transport.framing import frames
from gradwire.common.transport.traffic import MessageSize, Size
from gradwire.proto import wire_pb2


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

    counts: MessageSize = field(default_factory=MessageSize)

    @classmethod
    def build(cls, downlink: Downlink[Any], committed: CommittedRound) -> OutgoingEntry:
        """The entry that a downlink makes of a round: predicted from the round, measured from the message."""
        entry = downlink.build(committed)
        entry.cohort.extend(committed.cohort)
        pieces = tuple(frames(wire_pb2.FromServer(entry=entry)))
        must, does = downlink.predict(committed), downlink.measure(entry)
        counts = MessageSize(
            Size(must.bits, does.bits),
            Size(must.bytes, does.bytes),
            Size(downlink.predict_message(committed), sum(map(len, pieces))),
        )
        return cls(pieces, counts)


def snapshot_message(model: Model) -> Outgoing:
    """The whole model."""
    snapshot = wire_pb2.Snapshot(round=model.round, state=model.snapshot())
    return Outgoing.of(wire_pb2.FromServer(snapshot=snapshot))
