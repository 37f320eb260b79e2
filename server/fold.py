"""The server's model: the fold over the durable log, and what others need of either to follow it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from gradwire.common.arrays.update import Sparse, Vector
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.errors import FailedPrecondition, LogError, NotFiniteError
from gradwire.common.randomness import shared_seed
from gradwire.common.training.config import RunConfig, resolve_downlink
from gradwire.common.training.digest import digest_of
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.training.record import RoundRecord, aggregate
from gradwire.proto import wire_pb2
from gradwire.server.log.run_log import RunLog
from gradwire.server.outgoing import (
    Outgoing,
    OutgoingEntry,
    log_entry,
    model_entry,
    snapshot_message,
    sum_entry,
)

SNAPSHOT_FACTOR = 4  # a snapshot is written when the log since the last one is this many times its size
SNAPSHOT_FLOOR = 1 << 20  # bytes of log that are never worth a snapshot
TOLD_ROUNDS = 8  # of which a process hears, when it joins, that they were committed without it
KEEP_LOG_BYTES = 1 << 30  # a run whose payloads add up to more keeps only the log since its last snapshot


class Fold:
    """Model and log of one run, always at the same round. Every method may wait for the disk."""

    def __init__(self, log: RunLog) -> None:
        self.log = log
        self.config: RunConfig = log.config
        self._codec: AnyCodec | None = None
        self._model: Model | None = None
        snapshot = log.latest_snapshot()
        if snapshot is not None:
            self._rebuild(*snapshot)

    # ---- the model -----------------------------------------------------------------------------------------

    @property
    def has_model(self) -> bool:
        """Whether the run has an initial model yet."""
        return self._model is not None

    @property
    def codec(self) -> AnyCodec:
        """The run's codec, once its dimension is known."""
        if self._codec is None:
            raise FailedPrecondition("the run has no initial model yet: finish joining first")
        return self._codec

    @property
    def model(self) -> Model:
        """The model after the last round in the log."""
        if self._model is None:
            raise FailedPrecondition("the run has no initial model yet: finish joining first")
        return self._model

    def codec_at(self, dim: int) -> AnyCodec:
        """The run's codec for gradients of ``dim`` coordinates."""
        return parse(self.config.codec, dim)

    def begin(self, params: bytes, codec: AnyCodec) -> None:
        """Take the initial model: float32 little-endian [dim]."""
        model = Model(np.frombuffer(params, "<f4"), parse_optimizer(self.config.optimizer))
        self.log.set_initial(model.snapshot())
        self._adopt(model, codec)

    def _adopt(self, model: Model, codec: AnyCodec) -> None:
        self.config = resolve_downlink(self.config, codec)
        model.digest  # noqa: B018 - taken once in full; sparse rounds keep it from here on
        self._codec, self._model = codec, model

    def _rebuild(self, round_: int, snapshot: bytes) -> None:
        """The latest snapshot and the entries since."""
        optimizer = parse_optimizer(self.config.optimizer)
        arrays = 1 + len(optimizer.initial_state(np.zeros(1, np.float32)))
        model = Model(np.frombuffer(snapshot, "<f4")[: len(snapshot) // (4 * arrays)], optimizer)
        model.restore(snapshot, round_)
        codec = self.codec_at(model.dim)
        for record in self.log.read(round_, self.log.next_round):
            model.apply(aggregate(codec, self.config.seed, record))
        recorded = self.log.digest_at(model.round - 1) if model.round else None
        if recorded is not None and recorded != model.digest:
            raise LogError(
                f"replaying the log gives another model at round {model.round}: this machine computes differently"
            )
        self._adopt(model, codec)

    # ---- rounds --------------------------------------------------------------------------------------------

    def append(self, record: RoundRecord, notes: Mapping[str, Any], tally: str) -> Vector:
        """Fold a round and make it durable, with what was measured in it and the tally so far; the mean update.

        When this raises, the model may be ahead of the log: only a new Fold of the log is of use then.

        Raises:
            NotFiniteError: the mean, or the model after it, is beyond float32; nothing was appended.
            LogError: the disk refused it.
        """
        model = self.model
        try:
            update = aggregate(self.codec, self.config.seed, record)
        except NotFiniteError as error:
            raise NotFiniteError(f"round {record.round}, {self._beyond(record)}: {error}") from error
        model.apply(update)
        # A dense step voids the digest that is kept: it is taken anew only in the rounds that compare it.
        due = isinstance(update, Sparse) or model.round % self.config.digest_every == 0
        last = model.round == self.config.rounds
        self.log.append(record, model.digest if due or last else None, notes=notes, tally=tally)
        self._snapshot_if_due()
        return update

    def _beyond(self, record: RoundRecord) -> str:
        """The workers to blame for a mean beyond float32: where none is, the mean is not either."""
        wrong = []
        for worker, payload in zip(record.workers, record.payloads, strict=True):
            shared = (
                shared_seed(self.config.seed, record.round, worker) if self.codec.shared_randomness else None
            )
            if np.abs(self.codec.decode(payload, shared=shared)).max() > np.finfo(np.float32).max:
                wrong.append(str(worker))
        return f"worker {', '.join(wrong)}"

    def _snapshot_if_due(self) -> None:
        since = self.log.bytes_since_snapshot()
        if since < max(SNAPSHOT_FLOOR, SNAPSHOT_FACTOR * 4 * self.model.dim):
            return
        self.log.snapshot(self.model.round, self.model.snapshot())
        if self.config.rounds * self.config.workers * self.codec.nbytes > KEEP_LOG_BYTES:
            self.log.prune(self.model.round)

    def entry(self, record: RoundRecord, update: Vector) -> OutgoingEntry:
        """The round that was appended last, in the run's downlink form."""
        if self.config.downlink == "log":
            return log_entry(self.codec, record, self.config.workers)
        if self.config.downlink == "sum":
            return sum_entry(record.round, update, self.codec.dim)
        return model_entry(record.round, self.model)

    # ---- followers -----------------------------------------------------------------------------------------

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
            return [log_entry(self.codec, record, self.config.workers) for record in records]
        return [snapshot_message(self.model)]

    def missed_by(self, workers: Collection[int]) -> list[int]:
        """The last rounds that were committed without these workers, where they keep memories of what they sent.

        A push that got lost with its stream is not answered: its sender learns here that it was not counted.
        """
        if self.config.feedback == "none":
            return []
        end = self.model.round
        records = self.log.read(max(self.log.first_kept(), end - TOLD_ROUNDS, 0), end)
        return [record.round for record in records if not set(workers) & set(record.workers)]

    def _entries_are_smaller(self, start: int) -> bool:
        """Whether the log relays and still has the rounds from ``start`` on, in fewer bytes than the model."""
        if self.config.downlink != "log" or not self.log.first_kept() <= start < self.model.round:
            return False
        rounds = self.model.round - start
        return rounds * self.config.workers * self.codec.nbytes < 4 * self.model.dim

    def _digest_before(self, round_: int) -> int | None:
        """The digest of the parameters before a committed round; None where it was not taken."""
        if round_ > 0:
            return self.log.digest_at(round_ - 1)
        return digest_of(np.frombuffer(self.log.initial(), "<f4")[: self.model.dim])
