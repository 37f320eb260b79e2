"""From the replica's parameters to one round's payloads, for all workers that a process hosts."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import Array, all_finite, namespace
from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import GradwireError, NotFiniteError, TaskError
from gradwire.common.randomness import Coins, SystemCoins, shared_seed, worker_coins
from gradwire.worker.feedback_store import FeedbackStore
from gradwire.worker.privacy import Ledger
from gradwire.worker.tasks import Gradient, Task

log = logging.getLogger(__name__)

REMEMBERED_ROUNDS = 8  # whose payloads can still be added back to the error feedback if they were late


@dataclass(frozen=True)
class EncodedRound:
    """What a process sends for one round, in the order of its workers; no losses where a worker has none."""

    round: int
    payloads: tuple[bytes, ...]
    losses: tuple[float, ...]
    examples: tuple[int, ...]


class Encoder:
    """Computes and encodes the gradients of a process's workers.

    The last round is kept: a retry re-sends the same bytes instead of drawing new ones. With a ledger, every round's
    payloads are paid for before they are returned, and a round that is paid for gives the same ones in every retry; a
    gradient that cannot be encoded is then replaced by zero. A worker that stopped there would reveal something about
    its data that no mechanism randomised, and the server chooses the parameters at which gradients are taken.
    """

    def __init__(
        self,
        task: Task,
        codec: AnyCodec,
        seed: int,
        workers: tuple[int, ...],
        feedback: FeedbackStore | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """Nothing is computed yet.

        Args:
            task: computes the gradients.
            codec: encodes them.
            seed: of the run: public randomness, and the coins of codecs that are not private, follow from it.
            workers: ids of this process's logical workers, in the order of its payloads.
            feedback: error feedback of each worker; None for none.
            ledger: pays for the payloads of a private codec; None for a codec that is not private.
        """
        self._ledger = ledger
        self._feedback = feedback
        self._task = task
        self._codec = codec
        self._seed = seed
        self.workers = workers
        self._last: EncodedRound | None = None
        # Late comes after the round's entry, when the next round may be encoded already.
        self._recent: deque[EncodedRound] = deque(maxlen=REMEMBERED_ROUNDS)

    def encode(self, params: NDArray[np.float32], round_: int) -> EncodedRound:
        """The payloads of a round, whose gradients are taken at ``params`` [dim].

        Raises:
            TaskError: the task returned something that cannot be encoded.
            BudgetError: the privacy budget does not pay for the round.
            NotFiniteError: a gradient or loss is not finite; never with a ledger.
        """
        if self._last is None or self._last.round != round_:
            self._last = self._paid(round_) or self._encode(params, round_)
            if self._recent and self._recent[-1].round == round_:  # encoded again at other parameters
                self._recent.pop()
            self._recent.append(self._last)
        return self._last

    def discard_last(self) -> None:
        """Drop the last round's payloads: the parameters that they were computed at were not the server's."""
        self._last = None

    def add_back(self, round_: int) -> bool:
        """Add the payloads of a round that was committed without them back to the error feedback, once.

        Returns whether there were any. After a restart only the last payloads are known.
        """
        if self._feedback is None:
            return False
        late = next((encoded for encoded in self._recent if encoded.round == round_), None)
        if late is not None:
            self._recent.remove(late)
            payloads = dict(zip(self.workers, late.payloads, strict=True))
        else:
            payloads = self._feedback.last_payloads(round_)
        for worker, payload in payloads.items():
            self._feedback.add_back(worker, payload, round_, self._shared(worker, round_))
        return bool(payloads)

    def _paid(self, round_: int) -> EncodedRound | None:
        """The payloads of a round that is paid for already; its losses and example counts are not kept."""
        paid = self._ledger.payloads(round_) if self._ledger is not None else None
        return (
            EncodedRound(round_, tuple(paid[w] for w in self.workers), (), ()) if paid is not None else None
        )

    def _coins(self, worker: int, round_: int) -> Coins:
        """Private coins come from the operating system: the server knows the run's seed and could draw them again."""
        return SystemCoins() if self._codec.secret_coins else worker_coins(self._seed, round_, worker)

    def _shared(self, worker: int, round_: int) -> int | None:
        return shared_seed(self._seed, round_, worker) if self._codec.shared_randomness else None

    def _payload(self, worker: int, round_: int, value: Array) -> bytes:
        coins, shared = self._coins(worker, round_), self._shared(worker, round_)
        if self._feedback is not None:
            return self._feedback.encode(worker, value, round_, coins, shared=shared)
        return self._codec.encode(value, coins, shared=shared)

    def _encoded(self, params: NDArray[np.float32], round_: int, worker: int) -> tuple[bytes, Gradient]:
        """One worker's payload, and the gradient that it encodes."""
        try:
            gradient = self._task.gradient(params, round=round_, worker=worker)
        except NotFiniteError as error:
            if self._ledger is None:
                raise
            _warn_zero(error)
            gradient = Gradient(np.zeros(self._task.dim, np.float32), None, 1)
        where = f"worker {worker}, round {round_}"
        try:
            return self._payload(worker, round_, gradient.value), gradient
        except ValueError as error:
            refused = _refused(gradient.value, f"{where}: {error}")
            if self._ledger is None:
                raise refused from error
        try:  # wrong shapes and types are refused again: they come from the task, not from the data
            zeros = namespace(gradient.value).zeros_like(gradient.value)
            payload = self._payload(worker, round_, zeros)
        except ValueError as error:
            raise TaskError(f"{where}: {error}") from error
        _warn_zero(refused)
        return payload, replace(gradient, loss=None)

    def _encode(self, params: NDArray[np.float32], round_: int) -> EncodedRound:
        payloads, losses, examples = [], [], []
        for worker in self.workers:
            payload, gradient = self._encoded(params, round_, worker)
            payloads.append(payload)
            losses.append(gradient.loss)
            examples.append(gradient.examples)
        if self._ledger is not None:
            self._ledger.spend(round_, dict(zip(self.workers, payloads, strict=True)))
        reported = tuple(float(x) for x in losses if x is not None)
        return EncodedRound(
            round_, tuple(payloads), reported if len(reported) == len(losses) else (), tuple(examples)
        )


def _refused(value: Array, message: str) -> GradwireError:
    """Why a gradient cannot be encoded: the run diverged, or the task is wrong."""
    return TaskError(message) if all_finite(value) else NotFiniteError(f"{message}; lower the learning rate")


def _warn_zero(error: GradwireError) -> None:
    """Log it on this machine; the server must not learn of it."""
    log.warning("%s (private run: zero is encoded in place of this gradient)", error)
