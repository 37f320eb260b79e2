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
from gradwire.worker.ledger import Ledger
from gradwire.worker.memories import Memories
from gradwire.worker.tasks import Gradient, Task

log = logging.getLogger(__name__)

LATE_ROUNDS = 8  # batches that are remembered in case they turn out to have come too late


@dataclass(frozen=True)
class Batch:
    """What a process sends for one round, in the order of its workers."""

    round: int
    payloads: tuple[bytes, ...]
    losses: tuple[float, ...]
    examples: tuple[int, ...]


def _refused(value: Array, message: str) -> GradwireError:
    """What a gradient that cannot be encoded means: a run that blew up, or a task that is wrong."""
    return TaskError(message) if all_finite(value) else NotFiniteError(f"{message}; lower the learning rate")


class Encoder:
    """Computes and encodes the gradients of a process's workers.

    The last batch is kept: a retry re-sends the same bytes instead of drawing new ones. With a ledger, every round's
    payloads are paid for before they are returned, and a round that is paid for gives the same ones for ever; a
    gradient that cannot be encoded then counts as zero. A worker that stopped there would tell its server something of
    the data that no mechanism randomised, and the server chooses the parameters at which gradients are taken.
    """

    def __init__(
        self,
        task: Task,
        codec: AnyCodec,
        seed: int,
        workers: tuple[int, ...],
        memories: Memories | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._ledger = ledger
        self._memories = memories
        self._task = task
        self._codec = codec
        self._seed = seed
        self.workers = workers
        self._last: Batch | None = None
        # Word that a round was committed without us comes after its entry, when the next batch is made already.
        self._sent: deque[Batch] = deque(maxlen=LATE_ROUNDS)

    def batch(self, params: NDArray[np.float32], round_: int) -> Batch:
        """The payloads of a round, whose gradients are taken at ``params`` [dim].

        Raises:
            TaskError: the task returned something that cannot be encoded.
            BudgetError: the privacy budget does not pay for the round.
            NotFiniteError: its gradient is not of finite numbers, or its loss is none; never with a ledger.
        """
        if self._last is None or self._last.round != round_:
            self._last = self._paid(round_) or self._encode(params, round_)
            if self._sent and self._sent[-1].round == round_:  # made anew
                self._sent.pop()
            self._sent.append(self._last)
        return self._last

    def forget(self) -> None:
        """Drop the kept batch: the parameters that it was computed at were not the server's."""
        self._last = None

    def take_back(self, round_: int) -> bool:
        """The round was committed without this process's payloads: what they carried goes back to the memories, once.

        Whether there was anything to take back. After a restart the last payloads alone are known.
        """
        if self._memories is None:
            return False
        late = next((batch for batch in self._sent if batch.round == round_), None)
        if late is not None:
            self._sent.remove(late)
            payloads = dict(zip(self.workers, late.payloads, strict=True))
        else:
            kept = {worker: self._memories.kept(worker, round_) for worker in self.workers}
            payloads = {worker: payload for worker, payload in kept.items() if payload is not None}
        for worker, payload in payloads.items():
            self._memories.give_back(worker, payload, round_, self._shared(worker, round_))
        return bool(payloads)

    def _paid(self, round_: int) -> Batch | None:
        """What was handed out for a round that is paid for; losses and counts are not kept."""
        kept = self._ledger.kept(round_) if self._ledger is not None else None
        return Batch(round_, tuple(kept[w] for w in self.workers), (), ()) if kept is not None else None

    def _coins(self, worker: int, round_: int) -> Coins:
        """The server knows the run's seed: what it can draw again hides nothing from it."""
        return SystemCoins() if self._codec.secret_coins else worker_coins(self._seed, round_, worker)

    def _shared(self, worker: int, round_: int) -> int | None:
        return shared_seed(self._seed, round_, worker) if self._codec.shared_randomness else None

    def _payload(self, worker: int, round_: int, value: Array) -> bytes:
        coins, shared = self._coins(worker, round_), self._shared(worker, round_)
        if self._memories is not None:
            return self._memories.encode(worker, value, round_, coins, shared)
        return self._codec.encode(value, coins, shared=shared)

    def _encoded(self, params: NDArray[np.float32], round_: int, worker: int) -> tuple[bytes, Gradient]:
        """One worker's payload, and the gradient that it is of."""
        try:
            gradient = self._task.gradient(params, round=round_, worker=worker)
        except NotFiniteError as error:
            if self._ledger is None:
                raise
            self._say_zero(str(error))
            gradient = Gradient(np.zeros(self._task.dim, np.float32), None, 1)
        where = f"worker {worker}, round {round_}"
        try:
            return self._payload(worker, round_, gradient.value), gradient
        except ValueError as error:
            refused = _refused(gradient.value, f"{where}: {error}")
            if self._ledger is None:
                raise refused from error
        try:  # wrong shapes and types are refused again: they are the task's, not the data's
            zeros = namespace(gradient.value).zeros_like(gradient.value)
            payload = self._payload(worker, round_, zeros)
        except ValueError as error:
            raise TaskError(f"{where}: {error}") from error
        self._say_zero(str(refused))
        return payload, replace(gradient, loss=None)

    @staticmethod
    def _say_zero(why: str) -> None:
        """Tell this machine's user, and nobody else."""
        log.warning("%s (a private worker goes on, with zero in this gradient's place)", why)

    def _encode(self, params: NDArray[np.float32], round_: int) -> Batch:
        payloads, losses, examples = [], [], []
        for worker in self.workers:
            payload, gradient = self._encoded(params, round_, worker)
            payloads.append(payload)
            losses.append(gradient.loss)
            examples.append(gradient.examples)
        if self._ledger is not None:
            self._ledger.spend(round_, dict(zip(self.workers, payloads, strict=True)))
        reported = tuple(float(x) for x in losses if x is not None)
        return Batch(
            round_, tuple(payloads), reported if len(reported) == len(losses) else (), tuple(examples)
        )
