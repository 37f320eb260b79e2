"""The server's model: the fold over the durable log, and what replicas need of either to follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradwire.common.arrays.update import Sparse
from gradwire.common.codecs import AnyCodec
from gradwire.common.downlinks import CommittedRound, resolve_downlink
from gradwire.common.errors import FailedPrecondition, NotFiniteError
from gradwire.common.randomness import shared_seed
from gradwire.common.training.config import RunConfig
from gradwire.common.training.digest import digest_of
from gradwire.common.training.layout import Layout
from gradwire.common.training.model import Model
from gradwire.common.training.record import RoundRecord, aggregate
from gradwire.common.weights.start import Start
from gradwire.proto import wire_pb2
from gradwire.server.log.notes import NO_NOTES, RoundNotes
from gradwire.server.log.run_log import RunLog
from gradwire.server.outgoing import Outgoing, OutgoingEntry, snapshot_message
from gradwire.server.replay import Started, codec_of, model_of, replay, share_of

SNAPSHOT_FACTOR = 4  # a snapshot is written when the log since the last one is this many times its size
SNAPSHOT_FLOOR = 1 << 20  # bytes of log that are never worth a snapshot
# A run whose payloads add up to more keeps only the log since its newest snapshot, unless it is told to keep all.
KEEP_LOG_BYTES = 1 << 30


class Fold:
    """Model and log of one run, always at the same round. Every method may wait for the disk."""

    def __init__(self, log: RunLog) -> None:
        self.log = log
        self.config: RunConfig = log.config
        self._started: Started | None = None
        if log.has_initial:
            started = replay(log)
            log.record_release(started.resolved)
            self._adopt(started)

    # ---- the model -----------------------------------------------------------------------------------------

    @property
    def has_model(self) -> bool:
        """Whether the run has an initial model yet."""
        return self._started is not None

    @property
    def started(self) -> Started:
        """Codec, downlink and model, once there is an initial model.

        Raises:
            FailedPrecondition: there is none.
        """
        if self._started is None:
            raise FailedPrecondition("the run has no initial model yet: finish joining first")
        return self._started

    @property
    def codec(self) -> AnyCodec:
        """The run's codec, once its dimension is known."""
        return self.started.codec

    @property
    def model(self) -> Model:
        """The model after the last round in the log."""
        return self.started.model

    def codec_at(self, dim: int, averaged: int = 0) -> AnyCodec:
        """The run's codec for gradients of ``dim`` coordinates, the last ``averaged`` of them running statistics."""
        return codec_of(self.config, dim, averaged)

    def begin(
        self,
        params: bytes,
        codec: AnyCodec,
        layout: Layout | None = None,
        constants: Sequence[bytes] = (),
        start: Start | None = None,
    ) -> None:
        """Take the initial model.

        Args:
            params: float32 little-endian [dim].
            codec: the run's, for as many coordinates.
            layout: of the model; None where the worker stated none.
            constants: the values of its constant arrays, see ``RunLog.set_initial``.
            start: takes the place of the parameters; None for none.

        Raises:
            LayoutError: the start does not fit the model; nothing was stored.
        """
        initial = np.frombuffer(params, "<f4")
        if start is not None:
            initial = start.vector(layout or Layout.flat(codec.dim))
        downlink = resolve_downlink(self.config, codec)
        model = model_of(self.config, initial, layout, codec)
        started = Started(codec, downlink, model, downlink.initial_state(), layout)
        origin = start.digest if start is not None else ""
        self.log.set_initial(model.snapshot(), started.resolved, layout, constants, origin)
        self._adopt(started)

    def _adopt(self, started: Started) -> None:
        self.config = replace(self.config, downlink=started.downlink.spec)
        started.model.digest  # noqa: B018 - taken once in full; sparse rounds keep it from here on
        self._started = started

    # ---- rounds --------------------------------------------------------------------------------------------

    def append(
        self, record: RoundRecord, unpacked: Sequence[Any] = (), notes: RoundNotes = NO_NOTES
    ) -> CommittedRound:
        """Fold a round and make it durable.

        When this raises, the model may be ahead of the log: only a new Fold of the log is of use then.

        Args:
            record: the round, without what the downlink adds to it.
            unpacked: its payloads as they were unpacked when they arrived, see ``aggregate``.
            notes: what is stored with it.

        Raises:
            NotFiniteError: the mean, or the model after it, is beyond float32; nothing was appended.
            LogError: the disk refused it.
        """
        codec, downlink, model, state = (
            self.started.codec,
            self.started.downlink,
            self.model,
            self.started.state,
        )
        try:
            mean = aggregate(codec, self.config.seed, record, unpacked)
        except NotFiniteError as error:
            raise NotFiniteError(f"round {record.round}, {self._beyond(record)}: {error}") from error
        record = replace(record, sent=downlink.encode(record, mean, state))
        update = downlink.step(record, mean, state)
        model.apply(update, share_of(self.config, record))
        # A dense step voids the digest that is kept: it is taken anew only in the rounds that compare it.
        due = isinstance(update, Sparse) or model.round % self.config.digest_every == 0
        last = model.round == self.config.rounds
        self.log.append(record, model.digest if due or last else None, notes)
        self._snapshot_if_due()
        return CommittedRound(record, update, model.params)

    def _beyond(self, record: RoundRecord) -> str:
        """The workers whose payloads are beyond float32: at least one is where the mean is."""
        wrong = []
        for worker, payload in zip(record.workers, record.payloads, strict=True):
            shared = (
                shared_seed(self.config.seed, record.round, worker) if self.codec.shared_randomness else None
            )
            if np.abs(self.codec.decode(payload, shared=shared)).max() > np.finfo(np.float32).max:
                wrong.append(str(worker))
        return f"worker {', '.join(wrong)}"

    def _snapshot_if_due(self) -> None:
        since, started = self.log.bytes_since_snapshot(), self.started
        if since < max(SNAPSHOT_FLOOR, SNAPSHOT_FACTOR * 4 * started.model.dim):
            return
        state = started.downlink.snapshot(started.state)
        self.log.snapshot(started.model.round, started.model.snapshot() + state)
        if self.prunes:
            self.log.prune(started.model.round)

    @property
    def payload_bytes(self) -> int:
        """Payload bytes of the whole run: the most, where they vary."""
        return self.config.rounds * self.config.largest_round * self.codec.nbytes

    @property
    def prunes(self) -> bool:
        """Whether rounds that a snapshot covers are deleted from the log."""
        return self.payload_bytes > KEEP_LOG_BYTES and not self.config.keep_log

    def entry(self, committed: CommittedRound, cohort: tuple[int, ...] = ()) -> OutgoingEntry:
        """A round in the run's downlink form, and the cohort of the next round where it is named."""
        return OutgoingEntry.build(self.started.downlink, replace(committed, cohort=cohort))

    # ---- replicas ------------------------------------------------------------------------------------------

    def catch_up(self, ready: wire_pb2.Ready) -> list[Outgoing]:
        """What brings a replica to this round: nothing, the entries that it misses, or a snapshot."""
        follows = ready.round == 0 or ready.run_id == self.log.run_id
        if follows and ready.round == self.model.round and ready.digest == self.model.digest:
            return []
        if (
            follows
            and self._entries_are_smaller(ready.round)
            and self._digest_before(ready.round) == ready.digest
        ):
            records = self.log.read(ready.round, self.model.round)
            return [self.entry(CommittedRound(record)) for record in records]
        return [snapshot_message(self.model)]

    def _entries_are_smaller(self, start: int) -> bool:
        """Whether the log relays and still has the rounds from ``start`` on, in fewer bytes than the model."""
        downlink, model = self.started.downlink, self.model
        if not downlink.relays or not self.log.first_kept() <= start < model.round:
            return False
        return (model.round - start) * downlink.bytes_per_round < 4 * model.dim

    def _digest_before(self, round_: int) -> int | None:
        """The digest of the parameters before a committed round; None where it was not taken."""
        if round_ > 0:
            return self.log.digest_at(round_ - 1)
        return digest_of(np.frombuffer(self.log.initial(), "<f4")[: self.model.dim])
