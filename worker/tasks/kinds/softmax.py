"""``softmax(dataset)``: multinomial logistic regression, the convex baseline for any number of classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import SpecError
from gradwire.common.spec import Spec
from gradwire.common.training.layout import Layout, LayoutArray
from gradwire.worker.data import load
from gradwire.worker.data.catalog import entry_of
from gradwire.worker.site import Site
from gradwire.worker.tasks.base import TaskKind, require_at_least
from gradwire.worker.tasks.losses import softmax_cross_entropy
from gradwire.worker.tasks.registry import register_task
from gradwire.worker.tasks.shards import Shards
from gradwire.worker.tasks.supervised import Floats, SupervisedTask


@dataclass(frozen=True)
class SoftmaxModel:
    """mean cross-entropy of softmax(W x + b) + (l2 / 2) |W|²; parameters W [classes, inputs], then b [classes]."""

    inputs: int
    classes: int
    l2: float = 0.0

    @property
    def dim(self) -> int:
        """Length of the parameter vector."""
        return self.classes * (self.inputs + 1)

    @property
    def layout(self) -> Layout:
        """Names and shapes of torch's ``Linear``."""
        return Layout(
            (LayoutArray("weight", (self.classes, self.inputs)), LayoutArray("bias", (self.classes,)))
        )

    def initial(self, seed: int) -> NDArray[np.float32]:
        """Zeros [dim]: the loss is convex."""
        return np.zeros(self.dim, np.float32)

    def views(self, flat: Floats) -> tuple[Floats, Floats]:
        """W and b inside a flat vector, without copying."""
        split = self.classes * self.inputs
        return flat[:split].reshape(self.classes, self.inputs), flat[split:]

    def gradient(self, params: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[float, Floats]:
        """Loss and gradient [dim]."""
        weights, bias = self.views(params)
        slopes = x @ weights.T + bias
        loss = softmax_cross_entropy(slopes, y)
        value = np.empty_like(params)
        weight_part, bias_part = self.views(value)
        np.matmul(slopes.T, x, out=weight_part)
        weight_part += params.dtype.type(self.l2) * weights
        slopes.sum(axis=0, out=bias_part)
        return loss + self.l2 / 2 * float(np.vdot(weights, weights)), value

    def score(self, params: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[float, int]:
        """Mean loss and correct answers."""
        weights, bias = self.views(params)
        logits = x @ weights.T + bias
        correct = int(np.count_nonzero(logits.argmax(axis=1) == y))
        return softmax_cross_entropy(logits, y), correct


@register_task
@dataclass(frozen=True)
class SoftmaxKind(TaskKind):
    """Multinomial logistic regression with a bias.

    Attributes:
        dataset: any data set.
        l2: weight of |W|²/2.
        batch: samples per round; 0 is the worker's whole shard.
    """

    dataset: str
    l2: float = 0.0
    batch: int = 0

    name = "softmax"

    def __post_init__(self) -> None:
        require_at_least(0, "softmax", batch=self.batch)
        if not 0 <= self.l2 < math.inf:
            raise SpecError(f"softmax: l2 is {self.l2}, expected a number of at least 0")

    @property
    def known_dim(self) -> int:
        """Length of the parameter vector, from the catalogue: no data is loaded.

        Raises:
            DataError: no data set of that name.
        """
        entry = entry_of(self.dataset)
        return SoftmaxModel(entry.dim, entry.classes).dim

    def build(self, site: Site, *, workers: int, partition: Spec | None = None) -> SupervisedTask:
        """Load the data and deal it.

        Raises:
            DataError: the data set is missing or damaged.
            TaskError: too many workers, or too large a batch, for its samples.
        """
        data = load(self.dataset)
        model = SoftmaxModel(data.dim, data.classes, self.l2)
        return SupervisedTask(model, data, Shards.even(len(data.x_train), workers, site.seed, self.batch))
