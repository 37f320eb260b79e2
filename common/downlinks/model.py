"""``model``: an entry carries all parameters after the round; a replica takes no optimizer step of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwire.common.arrays.compat import F32
from gradwire.common.downlinks.base import CommittedRound, Downlink, PayloadSize
from gradwire.common.downlinks.registry import register
from gradwire.common.errors import InvalidArgument
from gradwire.common.training.model import Model
from gradwire.common.transport.traffic import submessage
from gradwire.proto import wire_pb2


@register
@dataclass(frozen=True, kw_only=True)
class WholeModel(Downlink[F32]):
    """The parameters: float32 [dim]. The one downlink for optimizers that are not portable."""

    name = "model"
    body = "model"
    announced = False
    replays_optimizer = False
    tie_rank = 2

    def build(self, committed: CommittedRound) -> wire_pb2.Entry:
        assert committed.params is not None, "the parameters after an earlier round are not kept"
        params = np.ascontiguousarray(committed.params, "<f4").tobytes()
        return wire_pb2.Entry(round=committed.record.round, model=params)

    def predict(self, committed: CommittedRound) -> PayloadSize:
        return PayloadSize(32 * self.codec.dim, 4 * self.codec.dim)

    def predict_body(self, committed: CommittedRound) -> int:
        return submessage(4 * self.codec.dim)

    def measure(self, entry: wire_pb2.Entry) -> PayloadSize:
        return PayloadSize(8 * len(entry.model), len(entry.model))

    @property
    def longest_entry(self) -> int:
        return 4 * self.codec.dim + 64

    def read(self, entry: wire_pb2.Entry) -> F32:
        if len(entry.model) != 4 * self.codec.dim:
            raise InvalidArgument(f"a model of {len(entry.model)} bytes, expected {4 * self.codec.dim}")
        return np.frombuffer(entry.model, "<f4")

    def apply(self, content: F32, model: Model) -> None:
        model.replace(content)

    @property
    def bytes_per_round(self) -> int:
        return 4 * self.codec.dim
