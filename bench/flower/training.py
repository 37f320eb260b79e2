"""What server and clients of a Flower run compute: the task and the local steps are gradwire's own.

Flower decides who takes part, carries the parameters and averages them. Rows, batches, initial model and steps are
those that workers of a run of gradwire with the same settings have, so a difference in the outcome is not of those.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import to_host
from gradwire.common.spec import parse_spec
from gradwire.common.training.local import parse_local
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.worker.tasks import build_task
from gradwire.worker.tasks.base import layout_of, training_size
from gradwire.worker.updates import LocalUpdate

Arrays = list[NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Training:
    """A FedAvg run.

    Attributes:
        task: of labelled data that are dealt, such as ``mlp(mnist, hidden=200, batch=32)``.
        partition: how they are dealt.
        workers: clients with data.
        cohort: clients that train in a round.
        rounds: of the run.
        local: the clients' steps.
        seed: of the split, the initial model and the batches.
        evaluate_every: rounds between evaluations on the test data.
        same_draw: clients are drawn as gradwire draws its workers; else by Flower.
    """

    task: str
    partition: str
    workers: int
    cohort: int
    rounds: int
    local: str
    seed: int
    evaluate_every: int
    same_draw: bool

    def to_json(self) -> str:
        """For the command lines of server and clients."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Training:
        """What ``to_json`` wrote."""
        return cls(**json.loads(text))


class LocalTraining:
    """The task of a run, with parameters as Flower carries them: a list of the model's arrays."""

    def __init__(self, training: Training) -> None:
        """Load the data and deal them."""
        self._task = build_task(
            training.task,
            workers=training.workers,
            seed=training.seed,
            partition=parse_spec(training.partition),
        )
        self._layout = layout_of(self._task)
        self._updates = LocalUpdate(self._task, parse_local(training.local))
        self._optimizer = parse_optimizer("sgd(lr=1.0)")  # a model has one; no step of it is taken here

    def initial(self) -> Arrays:
        """The model before the first round."""
        return self._arrays(self._task.initial())

    def size(self, worker: int) -> int:
        """Samples of a worker."""
        return training_size(self._task, worker)

    def fit(self, arrays: Sequence[NDArray[Any]], *, round: int, worker: int) -> Arrays:
        """The worker's model after its local steps in a round from 0 on."""
        params = _flat(arrays)
        update = self._updates.update(Model(params, self._optimizer), round=round, worker=worker)
        return self._arrays(params - to_host(update.value))

    def evaluate(self, arrays: Sequence[NDArray[Any]]) -> dict[str, float]:
        """The model on the test data."""
        return dict(self._task.evaluate(_flat(arrays)))

    def _arrays(self, params: NDArray[np.float32]) -> Arrays:
        return [view for _, view in self._layout.views(params)]


def _flat(arrays: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    return np.concatenate([np.ravel(array) for array in arrays]).astype(np.float32, copy=False)
