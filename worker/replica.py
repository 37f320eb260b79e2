"""The worker's copy of the model, folded from the log."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import all_finite
from gradwire.common.codecs import AnyCodec
from gradwire.common.downlinks import entry_readers
from gradwire.common.errors import DivergenceError, InvalidArgument, NotFiniteError
from gradwire.common.training.config import MAX_ROUNDS
from gradwire.common.training.local import control_damping, parse_local
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import Optimizer
from gradwire.common.transport.specs import spec_from_message
from gradwire.proto import wire_pb2


class Replica:
    """Parameters after ``round`` rounds, equal to the server's bit for bit."""

    def __init__(
        self,
        initial: NDArray[np.float32],
        codec: AnyCodec,
        optimizer: Optimizer,
        run: wire_pb2.Run,
        averaged: int = 0,
    ) -> None:
        """Begin at round 0.

        Args:
            initial: the initial parameters, float32 [dim].
            codec: the run's codec.
            optimizer: the run's optimizer.
            run: the run, as Welcome describes it.
            averaged: how many coordinates, at the end, are running statistics.

        Raises:
            SpecError: the run has a downlink or local steps that are not known here, or scaffold with such a codec.
        """
        local = parse_local(spec_from_message(run.local)) if run.HasField("local") else None
        downlink = spec_from_message(run.downlink) if run.HasField("downlink") else None
        self._downlinks = entry_readers(
            downlink, codec=codec, seed=run.seed, workers=run.workers, cohort=run.cohort
        )
        self.model = Model(
            initial,
            optimizer,
            averaged=averaged,
            control_rate=local.control_rate if local is not None else None,
            control_damping=control_damping(local, codec, feedback=run.error_feedback),
        )

    @property
    def round(self) -> int:
        """Rounds folded so far: the round whose gradients are taken at these parameters."""
        return self.model.round

    @property
    def longest_entry(self) -> int:
        """Bytes that no entry's message exceeds."""
        return max(downlink.longest_entry + 4 * downlink.cohort for downlink in self._downlinks.values())

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
        if body not in self._downlinks:
            raise InvalidArgument(
                f"the entry of round {entry.round} has {body or 'nothing'} in it, expected "
                f"{' or '.join(self._downlinks)}: the peer speaks another protocol"
            )
        downlink = self._downlinks[body]
        downlink.apply(downlink.read(entry), self.model)
        return downlink.measure(entry).bytes

    def restore(self, snapshot: wire_pb2.Snapshot) -> None:
        """Become the server's model.

        Raises:
            InvalidArgument: a round that no run has.
            LogError: a snapshot of another model.
            NotFiniteError: it holds numbers that are not finite.
        """
        if snapshot.round > MAX_ROUNDS:
            raise InvalidArgument(f"a model after round {snapshot.round}, a run has at most {MAX_ROUNDS}")
        self.model.restore(snapshot.state, snapshot.round)
        if not all_finite(self.model.params):
            raise NotFiniteError("the server's model holds numbers that are not finite: its run is over")
