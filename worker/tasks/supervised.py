"""Tasks that fit a model to a labelled data set: what logistic, softmax and mlp have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gradwire.worker.data import Dataset
from gradwire.worker.tasks.base import Gradient, checked_loss, checked_params
from gradwire.worker.tasks.shards import Shards

Floats = NDArray[np.floating[Any]]
CHUNK = 2_000  # test samples scored at once: bounds the hidden layer's memory, not its speed


class Model(Protocol):
    """Pure functions of the parameters and samples, in the dtype of the parameters (float32, or float64 in tests)."""

    @property
    def dim(self) -> int:
        """Length of the parameter vector."""

    def initial(self, seed: int) -> NDArray[np.float32]:
        """Starting parameters [dim]."""

    def gradient(self, params: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[float, Floats]:
        """Mean loss over samples x [n, features], y [n], and its gradient [dim]; regularisation included."""

    def score(self, params: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[float, int]:
        """Mean loss without regularisation, and how many of the samples are classified correctly."""


@dataclass(frozen=True, eq=False)
class SupervisedTask:
    """A model on a data set dealt to workers; parameters, data and gradients are float32."""

    model: Model
    data: Dataset
    shards: Shards

    @property
    def dim(self) -> int:
        """Length of the parameter vector."""
        return self.model.dim

    def initial(self) -> NDArray[np.float32]:
        """Starting parameters [dim], from the run's seed."""
        return self.model.initial(self.shards.seed)

    def gradient(self, params: NDArray[np.float32], *, round: int, worker: int) -> Gradient:
        """Gradient of the mean loss over this worker's batch or shard.

        Raises:
            TaskError: no such worker, or parameters of another shape.
            NotFiniteError: the loss is not finite.
        """
        params = checked_params(params, self.dim)
        rows = self.shards.draw(worker, round)
        with np.errstate(over="ignore", invalid="ignore"):  # checked_loss reports it
            loss, value = self.model.gradient(params, self.data.x_train[rows], self.data.y_train[rows])
        return Gradient(value, checked_loss(loss, round=round, worker=worker), len(rows))

    def evaluate(self, params: NDArray[np.float32]) -> dict[str, float]:
        """On the test split: ``test_loss`` (mean, without regularisation), ``accuracy`` and ``test_error`` = 1 - it.

        Raises:
            TaskError: parameters of another shape.
        """
        params = checked_params(params, self.dim)
        x, y = self.data.x_test, self.data.y_test
        loss, correct = 0.0, 0
        for start in range(0, len(x), CHUNK):
            part = slice(start, start + CHUNK)
            with np.errstate(over="ignore", invalid="ignore"):
                mean, right = self.model.score(params, x[part], y[part])
            loss, correct = loss + mean * len(y[part]), correct + right
        accuracy = correct / len(x)
        return {"test_loss": loss / len(x), "accuracy": accuracy, "test_error": 1 - accuracy}
