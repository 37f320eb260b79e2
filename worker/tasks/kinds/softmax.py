"""``softmax(dataset)``: multinomial logistic regression, the convex baseline for any number of classes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import SpecError
from gradwire.common.training.layout import Layout, LayoutArray
from gradwire.worker.tasks.labelled import LabelledKind
from gradwire.worker.tasks.losses import softmax_cross_entropy
from gradwire.worker.tasks.registry import register_task
from gradwire.worker.tasks.supervised import Floats


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
class SoftmaxKind(LabelledKind):
    """Multinomial logistic regression with a bias.

    Attributes:
        dataset: any data set; ``file`` is the site's own.
        l2: weight of |W|²/2.
        batch: samples per round; 0 is the worker's whole shard.
        features, classes, label: of own data without a schema.
    """

    dataset: str
    l2: float = 0.0
    batch: int = 0
    features: int = field(default=0, repr=False, metadata={"later": True})
    classes: int = field(default=0, repr=False, metadata={"later": True})
    label: str = field(default="", repr=False, metadata={"later": True})

    name = "softmax"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.l2 < math.inf:
            raise SpecError(f"softmax: l2 is {self.l2}, expected a number of at least 0")

    def model(self, inputs: int, classes: int, samples: int | None) -> SoftmaxModel:
        return SoftmaxModel(inputs, classes, self.l2)
