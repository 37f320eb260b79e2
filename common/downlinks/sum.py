"""``sum``: an entry carries the mean update, sparse where the codec is; no worker sees another's payload."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwire.common.arrays.bits import pack, unpack
from gradwire.common.arrays.update import Sparse, Vector
from gradwire.common.downlinks.base import CommittedRound, Downlink, PayloadSize
from gradwire.common.downlinks.registry import register
from gradwire.common.errors import InvalidArgument
from gradwire.common.training.model import Model
from gradwire.common.transport.traffic import bytes_field, submessage, varint_bytes
from gradwire.proto import wire_pb2

SPARSE_FLAG = 2  # bytes of the field ``sparse``


@dataclass(frozen=True, eq=False)
class MeanUpdate:
    """What an entry carries.

    Attributes:
        value: the mean update, float32 [dim].
        workers: how many it is the mean of.
    """

    value: Vector
    workers: int


@register
@dataclass(frozen=True, kw_only=True)
class Sum(Downlink[MeanUpdate]):
    """The mean update: float32 [dim], or float32 values with packed indices of ceil(log2 dim) bits each.

    How many workers it is the mean of is there where one of the run is missing.
    """

    name = "sum"
    body = "sum"
    announced = False
    tie_rank = 1  # before ``model``: it keeps the state of every optimizer in step

    def build(self, committed: CommittedRound) -> wire_pb2.Entry:
        update, body = _update(committed), wire_pb2.Sum(workers=self._missing(committed))
        if isinstance(update, Sparse):
            body.sparse = True
            body.indices = pack(update.indices, self._width).tobytes()
            body.values = np.ascontiguousarray(update.values, "<f4").tobytes()
        else:
            body.values = np.ascontiguousarray(update, "<f4").tobytes()
        return wire_pb2.Entry(round=committed.record.round, sum=body)

    def predict(self, committed: CommittedRound) -> PayloadSize:
        values, index_bits = self._predicted(committed)
        return PayloadSize(32 * values + index_bits, 4 * values + (index_bits + 7) // 8)

    def predict_body(self, committed: CommittedRound) -> int:
        values, index_bits = self._predicted(committed)
        flag = SPARSE_FLAG if isinstance(committed.update, Sparse) else 0
        count = self._missing(committed)
        counted = 1 + varint_bytes(count) if count else 0
        return submessage(bytes_field(4 * values) + bytes_field((index_bits + 7) // 8) + flag + counted)

    def _missing(self, committed: CommittedRound) -> int:
        """The number of workers in a round that lacks some of the run's; else 0, which takes no bytes."""
        count = len(committed.record.workers)
        return count if count < self.workers else 0

    def _predicted(self, committed: CommittedRound) -> tuple[int, int]:
        """How many values, and how many bits of indices."""
        update = _update(committed)
        if isinstance(update, Sparse):
            return update.indices.size, update.indices.size * self._width
        return self.codec.dim, 0

    def measure(self, entry: wire_pb2.Entry) -> PayloadSize:
        values, indices = len(entry.sum.values), len(entry.sum.indices)
        padding = -(values // 4 * self._width) % 8 if entry.sum.sparse else 0
        return PayloadSize(8 * (values + indices) - padding, values + indices)

    @property
    def longest_entry(self) -> int:
        # A sparse update touches less than a quarter of the coordinates, at up to 9 bytes each.
        return 4 * self.codec.dim + 64

    def read(self, entry: wire_pb2.Entry) -> MeanUpdate:
        count = entry.sum.workers or self.workers
        if count > self.workers:
            raise InvalidArgument(f"an update of {count} workers, expected at most {self.workers}")
        return MeanUpdate(self._vector(entry.sum), count)

    def _vector(self, body: wire_pb2.Sum) -> Vector:
        dim = self.codec.dim
        if not body.sparse:
            if len(body.values) != 4 * dim:
                raise InvalidArgument(f"a dense update has {len(body.values)} bytes, expected {4 * dim}")
            return np.frombuffer(body.values, "<f4")
        count, rest = divmod(len(body.values), 4)
        if rest or len(body.indices) != (count * self._width + 7) // 8:
            raise InvalidArgument(
                f"a sparse update has {len(body.values)} value and {len(body.indices)} index bytes: they do not match"
            )
        indices = unpack(np.frombuffer(body.indices, np.uint8), count, self._width)
        if count and (int(indices.max()) >= dim or bool((np.diff(indices) <= 0).any())):
            raise InvalidArgument(f"a sparse update has indices that are not increasing below {dim}")
        return Sparse(dim, indices, np.frombuffer(body.values, "<f4"))

    def apply(self, content: MeanUpdate, model: Model) -> None:
        model.apply(content.value, content.workers / self.workers)

    @property
    def bytes_per_round(self) -> int:
        return 4 * self.codec.dim

    @property
    def _width(self) -> int:
        return (self.codec.dim - 1).bit_length()


def _update(committed: CommittedRound) -> Vector:
    assert committed.update is not None, "the sum of an earlier round is not kept"
    return committed.update
