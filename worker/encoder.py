"""From the replica's model to one round's payloads, for all workers that a process hosts."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradwire.common.arrays.compat import Array, all_finite, namespace
from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import GradwireError, NotFiniteError, TaskError
from gradwire.common.randomness import Coins, SystemCoins, shared_seed, worker_coins
from gradwire.common.training.model import Model
from gradwire.worker.feedback import ErrorFeedback
from gradwire.worker.memory import WorkerMemory
from gradwire.worker.privacy import Ledger
from gradwire.worker.record_file import Sent
from gradwire.worker.records import Records
from gradwire.worker.tasks import Gradient
from gradwire.worker.updates import UpdateSource

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedRound:
    """What workers of a process send for one round, in their order; no losses where a worker has none."""

    round: int
    workers: tuple[int, ...]
    payloads: tuple[bytes, ...]
    losses: tuple[float, ...]
    examples: tuple[int, ...]


class Encoder:
    """Computes and encodes the updates of a process's workers.

    The last round is kept: a retry re-sends the same bytes instead of drawing new ones, and so does a process that
    restarts with the workers' records. With a ledger, every round's payloads are paid for before they are returned, and
    a round that is paid for gives the same ones in every retry; an update that cannot be encoded is then replaced by
    zero. A worker that stopped there would reveal something about its data that no mechanism randomised, and the server
    chooses the parameters at which updates are computed.

    A round's records are written before it is paid for. Killed in between, a process finds the payload in the record
    and pays for that one: nothing is drawn twice, and no payload left before it was counted. The other way round, it
    would send a payload that is paid for with memories that do not know of it.
    """

    def __init__(
        self,
        source: UpdateSource,
        codec: AnyCodec,
        seed: int,
        workers: tuple[int, ...],
        *,
        feedback: bool = False,
        records: Records | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """Nothing is computed yet.

        Args:
            source: computes the updates.
            codec: encodes them.
            seed: of the run: public randomness, and the coins of codecs that are not private, follow from it.
            workers: ids of this process's logical workers, in the order of its payloads.
            feedback: whether what a payload leaves out is added to the worker's next update.
            records: where the workers' records are kept; None keeps what they remember in this process alone.
            ledger: pays for the payloads of a private codec; None for a codec that is not private.

        Raises:
            SpecError: error feedback with a codec that does not contract.
            LogError: a worker's record cannot be used.
        """
        self._ledger = ledger
        self._source = source
        self._codec = codec
        self._seed = seed
        self._memories = [
            WorkerMemory(worker, source, ErrorFeedback(codec) if feedback else None, records)
            for worker in workers
        ]
        self.workers = workers
        self.records = records
        self._last: EncodedRound | None = None
        self._discarded: set[int] = set()  # workers whose last payload was computed at another model

    def encode(self, model: Model, round_: int, workers: Collection[int] | None = None) -> EncodedRound:
        """The payloads of a round, whose updates are computed at ``model``; nothing changes for other workers.

        Args:
            model: after ``round_`` rounds.
            round_: the round.
            workers: of this process, those that are drawn for the round; None for all of them.

        Raises:
            TaskError: the task returned something that cannot be encoded.
            BudgetError: the privacy budget does not pay for the round.
            NotFiniteError: an update or loss is not finite; never with a ledger.
            LogError: a record cannot be written.
        """
        chosen = [m for m in self._memories if workers is None or m.worker in workers]
        ids = tuple(memory.worker for memory in chosen)
        if self._last is None or (self._last.round, self._last.workers) != (round_, ids):
            self._last = self._encode(model, round_, chosen)
        return self._last

    def holds(self, round_: int, workers: Collection[int]) -> bool:
        """Whether ``encode`` waits for nobody: it computes the updates, or the payloads are there already."""
        if not self._source.waits or not workers:
            return True
        paid = self._paid_for(round_)
        return all(
            m.worker in paid or m.keeps(round_, m.worker in self._discarded)
            for m in self._memories
            if m.worker in workers
        )

    async def ready(self, model: Model) -> None:
        """Wait for the updates of the model's round, where somebody else computes them."""
        await self._source.ready(model, model.round)

    def discard_last(self) -> None:
        """Compute the last round again if it is asked for: the model that it was computed at was not the server's.

        It is then computed from the memories before it. Payloads that are paid for, or that an earlier process
        computed, are sent again instead; so are those of a worker that took an earlier round back meanwhile.
        """
        self._last, self._discarded = None, set(self.workers)
        self._source.discard()

    def add_back(self, round_: int, workers: Collection[int] | None = None) -> bool:
        """Undo a worker's last round, which was committed without it, once; whether there was anything to undo.

        Payloads return to the error feedback and control variates go back. A kept inner optimizer stays where it is: it
        has seen the data.

        Args:
            round_: the round that was committed.
            workers: of this process, those whose payload was not counted; None for all of them.
        """
        undone = 0
        for memory in self._memories:
            if workers is None or memory.worker in workers:
                undone += memory.take_back(round_, self._shared(memory.worker, round_))
        return undone > 0

    def undecided(self) -> dict[int, int]:
        """By worker, the last round that it encoded a payload for, of those that remember what they send."""
        return {m.worker: m.undecided for m in self._memories if m.undecided is not None}

    @property
    def remembers(self) -> bool:
        """Whether workers take back what a round that was not counted changed."""
        return self._source.follows_payloads or any(memory.feedback is not None for memory in self._memories)

    def _paid_for(self, round_: int) -> Mapping[int, bytes]:
        """Payloads of a round by worker that the ledger has paid for."""
        return (self._ledger.payloads(round_) if self._ledger is not None else None) or {}

    def _paid(self, round_: int, memory: WorkerMemory, payload: bytes) -> Sent:
        """What a worker sends for a round that is paid for already; loss and examples are in its record alone."""
        known = memory.sent(round_)
        return known if known is not None and known.payload == payload else Sent(round_, payload, None, 1)

    def _coins(self, worker: int, round_: int) -> Coins:
        """Private coins come from the operating system: the server knows the run's seed and could draw them again."""
        return SystemCoins() if self._codec.secret_coins else worker_coins(self._seed, round_, worker)

    def _shared(self, worker: int, round_: int) -> int | None:
        return shared_seed(self._seed, round_, worker) if self._codec.shared_randomness else None

    def _payload(self, model: Model, round_: int, memory: WorkerMemory, value: Array) -> bytes:
        """The payload of an update [dim], which counts for the worker's memories."""
        coins, shared = self._coins(memory.worker, round_), self._shared(memory.worker, round_)
        if memory.feedback is not None:
            payload = memory.feedback.encode(value, coins, shared=shared)
        else:
            payload = self._codec.encode(value, coins, shared=shared)
        if self._source.follows_payloads:
            carried = value if memory.feedback is not None else self._codec.decode(payload, shared=shared)
            self._source.follow(model, round=round_, worker=memory.worker, carried=carried)
        return payload

    def _computed(self, model: Model, round_: int, memory: WorkerMemory) -> Sent:
        """One worker's payload of a new update; its memories are then those after the round."""
        memory.begin(round_)
        try:
            update = self._source.update(model, round=round_, worker=memory.worker)
        except NotFiniteError as error:
            memory.undo()
            if self._ledger is None:
                raise
            _warn_zero(error)
            update = Gradient(np.zeros(self._source.dim, np.float32), None, 1)
        where = f"worker {memory.worker}, round {round_}"
        try:
            payload = self._payload(model, round_, memory, update.value)
            return Sent(round_, payload, update.loss, update.examples)
        except ValueError as error:
            memory.undo()
            refused = _refused(update.value, f"{where}: {error}")
            if self._ledger is None:
                raise refused from error
        try:  # wrong shapes and types are refused again: they come from the task, not from the data
            zeros = namespace(update.value).zeros_like(update.value)
            payload = self._payload(model, round_, memory, zeros)
        except ValueError as error:
            raise TaskError(f"{where}: {error}") from error
        _warn_zero(refused)
        return Sent(round_, payload, None, update.examples)

    def _sent(self, model: Model, round_: int, memory: WorkerMemory) -> Sent:
        if memory.worker in self._discarded:
            memory.discard(round_)
            self._discarded.discard(memory.worker)
        known = memory.sent(round_)
        if known is not None:
            return known
        sent = self._computed(model, round_, memory)
        memory.finish(sent)
        return sent

    def _encode(self, model: Model, round_: int, memories: Sequence[WorkerMemory]) -> EncodedRound:
        paid = self._paid_for(round_)
        sent = {
            memory.worker: self._paid(round_, memory, paid[memory.worker])
            if memory.worker in paid
            else self._sent(model, round_, memory)
            for memory in memories
        }
        if self._ledger is not None:
            self._ledger.spend(round_, {worker: each.payload for worker, each in sent.items()})
        return _encoded_round(round_, sent)


def _encoded_round(round_: int, sent: Mapping[int, Sent]) -> EncodedRound:
    losses = tuple(float(each.loss) for each in sent.values() if each.loss is not None)
    return EncodedRound(
        round_,
        tuple(sent),
        tuple(each.payload for each in sent.values()),
        losses if len(losses) == len(sent) else (),
        tuple(each.examples for each in sent.values()),
    )


def _refused(value: Array, message: str) -> GradwireError:
    """Why an update cannot be encoded: the run diverged, or the task is wrong."""
    return TaskError(message) if all_finite(value) else NotFiniteError(f"{message}; lower the learning rate")


def _warn_zero(error: GradwireError) -> None:
    """Log it on this machine; the server must not learn of it."""
    log.warning("%s (private run: zero is encoded in place of this gradient)", error)
