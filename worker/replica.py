"""The worker's copy of the model, folded from the log."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import all_finite
from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import DivergenceError, NotFiniteError
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import Optimizer
from gradwire.common.training.record import aggregate
from gradwire.common.transport import protocol
from gradwire.proto import wire_pb2


class Replica:
    """Parameters after ``round`` rounds, equal to the server's bit for bit."""

    def __init__(
        self, initial: NDArray[np.float32], codec: AnyCodec, optimizer: Optimizer, run: wire_pb2.Run
    ) -> None:
        self._codec = codec
        self._run = run
        self.model = Model(initial, optimizer)

    @property
    def round(self) -> int:
        """Rounds folded so far: the round whose gradients are taken at these parameters."""
        return self.model.round

    def fold(self, entry: wire_pb2.Entry) -> int:
        """Apply the next entry of the log, in whichever form it came; returns its payload bytes.

        Raises:
            DivergenceError: the entry is not the next one.
            InvalidArgument, PayloadError: it is damaged.
        """
        if entry.round != self.round:
            raise DivergenceError(
                f"the server sent round {entry.round}, this replica needs round {self.round} next"
            )
        body = entry.WhichOneof("body")
        if body == "payloads":
            record = protocol.record_of(self._codec, entry, self._run.workers)
            self.model.apply(aggregate(self._codec, self._run.seed, record))
            return len(entry.payloads.data)
        if body == "sum":
            self.model.apply(protocol.update_of(entry.sum, self.model.dim))
            return len(entry.sum.values) + len(entry.sum.indices)
        self.model.replace(protocol.parameters_of(entry.model, self.model.dim))
        return len(entry.model)

    def restore(self, snapshot: wire_pb2.Snapshot) -> None:
        """Become the server's model.

        Raises:
            LogError: a snapshot of another model.
            NotFiniteError: it holds numbers that are not finite.
        """
        self.model.restore(snapshot.state, snapshot.round)
        if not all_finite(self.model.params):
            raise NotFiniteError("the server's model holds numbers that are not finite: its run is over")
