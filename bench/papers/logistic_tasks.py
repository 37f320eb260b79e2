"""Variants of the logistic regression of [V] Table 4, as tasks that are made by factories.

[V] equation 29 is printed without one of its closing parentheses. The tasks here close it at the end, so that the
regulariser is inside the logarithm; ``logistic`` closes it after the exponential.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.training.layout import Layout, LayoutArray
from gradwire.worker.data import Dataset, load
from gradwire.worker.data.gisette import scale_columns
from gradwire.worker.tasks.kinds.logistic import LogisticModel
from gradwire.worker.tasks.partitions import Iid
from gradwire.worker.tasks.shards import Shards
from gradwire.worker.tasks.supervised import Floats, Model, SupervisedTask

MODULE = __name__
INSIDE = ("a5a", "a9a", "splice")


@dataclass(frozen=True)
class InsideModel:
    """mean_i log(1 + exp(-b_i a_iᵀθ) + |θ|² / 2n), labels b = ±1: [V] equation 29, closed at the end."""

    dim: int
    samples: int

    @property
    def layout(self) -> Layout:
        """One weight for each feature."""
        return Layout((LayoutArray("weight", (self.dim,)),))

    def initial(self, seed: int) -> NDArray[np.float32]:
        """Zeros [dim]."""
        return np.zeros(self.dim, np.float32)

    def gradient(self, params: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[float, Floats]:
        """Loss and gradient [dim]; classes y are 1 for b = +1 and 0 for b = -1."""
        signs = (2 * y - 1).astype(params.dtype)
        extra = float(params @ params) / (2 * self.samples)
        margins = signs * (x @ params)
        loss = float(np.mean(np.logaddexp(np.log1p(extra), -margins), dtype=np.float64))
        # exp(-m) / (1 + extra + exp(-m)), by tanh, which cannot overflow.
        wrong = (1 - np.tanh((margins + params.dtype.type(np.log1p(extra))) / 2)) / 2
        shrink = float(np.mean(1 - wrong)) / (1 + extra) / self.samples
        return loss, -(wrong * signs) @ x / len(y) + params.dtype.type(shrink) * params

    def score(self, params: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[float, int]:
        """As ``logistic`` has it: without the regulariser."""
        return LogisticModel(self.dim, 0.0).score(params, x, y)


def a5a_inside(workers: int, seed: int) -> SupervisedTask:
    """a5a with the regulariser inside the logarithm."""
    return _inside("a5a", workers, seed)


def a9a_inside(workers: int, seed: int) -> SupervisedTask:
    """a9a with the regulariser inside the logarithm."""
    return _inside("a9a", workers, seed)


def splice_inside(workers: int, seed: int) -> SupervisedTask:
    """Splice with the regulariser inside the logarithm."""
    return _inside("splice", workers, seed)


def splice_scaled(workers: int, seed: int) -> SupervisedTask:
    """Splice with each column mapped onto [-1, 1]: in the file they are 1, 2, 3, 4, all positive."""
    data = load("splice")
    train, test = scale_columns(data.x_train, data.x_test)
    scaled = Dataset(data.name, train, data.y_train, test, data.y_test, data.classes)
    return _task(scaled, LogisticModel(data.dim, 1 / len(data.x_train)), workers, seed)


def _inside(name: str, workers: int, seed: int) -> SupervisedTask:
    data = load(name)
    return _task(data, InsideModel(data.dim, len(data.x_train)), workers, seed)


def _task(data: Dataset, model: Model, workers: int, seed: int) -> SupervisedTask:
    shards = Shards.partitioned(data.y_train, len(data.x_train), workers, seed, Iid())
    return SupervisedTask(model, data, shards)
