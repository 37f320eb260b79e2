"""``log``: an entry relays the round's payloads, and every replica sums them up as the server did."""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.common.downlinks.base import CommittedRound, Downlink, PayloadSize
from gradwire.common.downlinks.registry import register
from gradwire.common.training.model import Model
from gradwire.common.training.record import RoundRecord, aggregate
from gradwire.common.transport import payloads
from gradwire.common.transport.traffic import bytes_field, submessage, varint_bytes
from gradwire.proto import wire_pb2

CHEAP_DENSE_PAYLOADS = 4  # reconstructions that a replica may be made to compute per round
PER_WORKER = 16  # bytes, at most, of a worker's id, payload length and example count in an entry


@register
@dataclass(frozen=True, kw_only=True)
class Log(Downlink[RoundRecord]):
    """The payloads of the cohort, in worker order; its ids only when a worker of the run is missing.

    Smallest where N payloads are smaller than the model. A replay costs one reconstruction per worker: cheap where the
    codec adds payloads up in the index domain. Every worker sees the payload of every other.
    """

    name = "log"
    body = "payloads"
    announced = False
    relays = True
    tie_rank = 0

    def build(self, committed: CommittedRound) -> wire_pb2.Entry:
        record = committed.record
        body = wire_pb2.Payloads(data=b"".join(record.payloads), examples=record.examples)
        if len(record.workers) < self.workers:
            body.workers.extend(record.workers)
        if not self.codec.fixed_length:
            body.lengths.extend(len(p) for p in record.payloads)
        return wire_pb2.Entry(round=record.round, payloads=body)

    def predict(self, committed: CommittedRound) -> PayloadSize:
        lengths = [len(p) for p in committed.record.payloads]
        return PayloadSize(*payloads.predicted(self.codec, len(lengths), lengths))

    def predict_body(self, committed: CommittedRound) -> int:
        record = committed.record
        count = len(record.workers)
        lengths = [len(p) for p in record.payloads]
        inner = bytes_field(payloads.predicted(self.codec, count, lengths)[1])
        if count < self.workers:
            inner += bytes_field(sum(varint_bytes(w) for w in record.workers))
        if not self.codec.fixed_length:
            inner += bytes_field(sum(varint_bytes(n) for n in lengths))
        return submessage(inner + bytes_field(4 * len(record.examples)))

    def measure(self, entry: wire_pb2.Entry) -> PayloadSize:
        count = len(entry.payloads.workers) or self.workers
        return PayloadSize(*payloads.measured(self.codec, count, entry.payloads.data))

    @property
    def longest_entry(self) -> int:
        return self.most * (self.codec.nbytes + PER_WORKER) + 64

    def read(self, entry: wire_pb2.Entry) -> RoundRecord:
        body = entry.payloads
        cohort = tuple(body.workers) or tuple(range(self.workers))
        parts = payloads.split(self.codec, body.data, body.lengths, len(cohort))
        return RoundRecord(entry.round, cohort, parts, tuple(body.examples))

    def apply(self, content: RoundRecord, model: Model) -> None:
        model.apply(aggregate(self.codec, self.seed, content), len(content.workers) / self.workers)

    @property
    def bytes_per_round(self) -> int:
        return self.most * self.codec.nbytes

    @property
    def cheap_replay(self) -> bool:
        return self.codec.index_domain or self.most <= CHEAP_DENSE_PAYLOADS
