"""From the replica's parameters to one round's payloads, for all workers that a process hosts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import TaskError
from gradwire.common.randomness import shared_seed, worker_coins
from gradwire.worker.tasks import Task


@dataclass(frozen=True)
class Batch:
    """What a process sends for one round, in the order of its workers."""

    round: int
    payloads: tuple[bytes, ...]
    losses: tuple[float, ...]
    examples: tuple[int, ...]


class Encoder:
    """Computes and encodes the gradients of a process's workers.

    The last batch is kept: a retry re-sends the same bytes instead of drawing new ones.
    """

    def __init__(self, task: Task, codec: AnyCodec, seed: int, workers: tuple[int, ...]) -> None:
        self._task = task
        self._codec = codec
        self._seed = seed
        self.workers = workers
        self._last: Batch | None = None

    def batch(self, params: NDArray[np.float32], round_: int) -> Batch:
        """The payloads of a round, whose gradients are taken at ``params`` [dim].

        Raises:
            TaskError: the task returned something that cannot be encoded.
        """
        if self._last is None or self._last.round != round_:
            self._last = self._encode(params, round_)
        return self._last

    def forget(self) -> None:
        """Drop the kept batch: the parameters that it was computed at were not the server's."""
        self._last = None

    def _encode(self, params: NDArray[np.float32], round_: int) -> Batch:
        payloads, losses, examples = [], [], []
        for worker in self.workers:
            gradient = self._task.gradient(params, round=round_, worker=worker)
            shared = shared_seed(self._seed, round_, worker) if self._codec.shared_randomness else None
            try:
                coins = worker_coins(self._seed, round_, worker)
                payloads.append(self._codec.encode(gradient.value, coins, shared=shared))
            except ValueError as error:
                raise TaskError(f"worker {worker}, round {round_}: {error}") from error
            losses.append(gradient.loss)
            examples.append(gradient.examples)
        reported = tuple(float(x) for x in losses if x is not None)
        return Batch(
            round_, tuple(payloads), reported if len(reported) == len(losses) else (), tuple(examples)
        )
