"""Tasks that fit a model to a labelled data set: what logistic, softmax and mlp have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gradwire.common.training.layout import Layout
from gradwire.worker.data import Dataset
from gradwire.worker.tasks.base import Gradient, checked_loss, checked_params
from gradwire.worker.tasks.partitions import Rows
from gradwire.worker.tasks.shards import Shards

Floats = NDArray[np.floating[Any]]
CHUNK = 2_000  # test samples scored at once: bounds the hidden layer's memory, not its speed
MOST_AT_ONCE = 16_384  # training samples of one product: a larger shard's gradient is accumulated


class Model(Protocol):
    """Pure functions of the parameters and samples, in the dtype of the parameters (float32, or float64 in tests)."""

    @property
    def dim(self) -> int:
        """Length of the parameter vector."""

    @property
    def layout(self) -> Layout:
        """Names and shapes of the arrays that lie in the parameter vector, in C order."""

    def initial(self, seed: int) -> NDArray[np.float32]:
        """Starting parameters [dim]."""

    def gradient(self, params: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[float, Floats]:
        """Mean loss over samples x [n, features], y [n], and its gradient [dim]; regularisation included."""

    def score(self, params: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[float, int]:
        """Mean loss without regularisation, and how many of the samples are classified correctly."""


@dataclass(frozen=True, eq=False)
class SupervisedTask:
    """A model on a data set dealt to workers; parameters, data and gradients are float32.

    Attributes:
        schema: canonical text of the columns, classes and scaling of a site's own data; empty for the catalogue's.
    """

    model: Model
    data: Dataset
    shards: Shards
    schema: str = ""

    @property
    def dim(self) -> int:
        """Length of the parameter vector."""
        return self.model.dim

    def initial(self) -> NDArray[np.float32]:
        """Starting parameters [dim], from the run's seed."""
        return self.model.initial(self.shards.seed)

    @property
    def layout(self) -> Layout:
        """The model's arrays, with the schema of the data where there is one."""
        return self.model.layout.with_schema(self.schema)

    def size(self, worker: int) -> int:
        """Samples in a worker's shard.

        Raises:
            TaskError: no such worker.
        """
        return self.shards.size(worker)

    def evaluation_size(self) -> int:
        """Samples in the test split."""
        return len(self.data.x_test)

    def gradient(self, params: NDArray[np.float32], *, round: int, worker: int) -> Gradient:
        """Gradient of the mean loss over this worker's batch or shard.

        Raises:
            TaskError: no such worker, or parameters of another shape.
            NotFiniteError: the loss is not finite.
        """
        params = checked_params(params, self.dim)
        rows = self.shards.draw(worker, round)
        with np.errstate(over="ignore", invalid="ignore"):  # checked_loss reports it
            loss, value = mean_in_chunks(rows, lambda part: self._gradient(params, part))
        return Gradient(value, checked_loss(loss, round=round, worker=worker), len(rows))

    def _gradient(self, params: NDArray[np.float32], rows: Rows) -> tuple[float, Floats]:
        return self.model.gradient(params, self.data.x_train[rows], self.data.y_train[rows])

    def evaluate(self, params: NDArray[np.float32]) -> dict[str, float]:
        """On the test split: ``test_loss`` (mean, without regularisation), ``accuracy`` and ``test_error`` = 1 - it.

        Nothing where there is no test split.

        Raises:
            TaskError: parameters of another shape.
        """
        params = checked_params(params, self.dim)
        x, y = self.data.x_test, self.data.y_test
        if not len(x):
            return {}
        loss, correct = 0.0, 0
        for start in range(0, len(x), CHUNK):
            part = slice(start, start + CHUNK)
            with np.errstate(over="ignore", invalid="ignore"):
                mean, right = self.model.score(params, x[part], y[part])
            loss, correct = loss + mean * len(y[part]), correct + right
        accuracy = correct / len(x)
        return {"test_loss": loss / len(x), "accuracy": accuracy, "test_error": 1 - accuracy}


def mean_in_chunks(rows: Rows, part: Callable[[Rows], tuple[float, Floats]]) -> tuple[float, Floats]:
    """Loss and gradient that are means over ``rows``, from those over at most ``MOST_AT_ONCE`` of them at a time.

    Args:
        rows: row numbers.
        part: loss and gradient over some of them; the gradient is a new array.
    """
    if len(rows) <= MOST_AT_ONCE:
        return part(rows)
    total, mean = 0.0, None
    for start in range(0, len(rows), MOST_AT_ONCE):
        some = rows[start : start + MOST_AT_ONCE]
        loss, value = part(some)
        total += loss * len(some)
        value *= value.dtype.type(len(some) / len(rows))
        mean = value if mean is None else np.add(mean, value, out=mean)
    assert mean is not None
    return total / len(rows), mean
