"""``mlp(dataset, hidden)``: one hidden ReLU layer, the network of the experiments in [V] section 7, in NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradwire.common.training.layout import Layout, LayoutArray
from gradwire.worker.tasks.base import require_at_least
from gradwire.worker.tasks.labelled import LabelledKind
from gradwire.worker.tasks.losses import softmax_cross_entropy
from gradwire.worker.tasks.random_streams import random_stream
from gradwire.worker.tasks.registry import register_task
from gradwire.worker.tasks.supervised import Floats


@dataclass(frozen=True)
class MlpModel:
    """Mean cross-entropy of softmax(W2 relu(W1 x + b1) + b2).

    Parameters lie flat as W1 [hidden, inputs], b1, W2 [classes, hidden], b2: the order and layout of torch's
    ``Sequential(Linear, ReLU, Linear)``, so a vector means the same model in both.

    >>> MlpModel(784, 1000, 10).dim, MlpModel(3072, 4000, 10).dim
    (795010, 12332010)
    """

    inputs: int
    hidden: int
    classes: int

    @property
    def dim(self) -> int:
        """Length of the parameter vector."""
        return self.hidden * (self.inputs + 1) + self.classes * (self.hidden + 1)

    def views(self, flat: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """W1, b1, W2, b2 inside a flat vector, without copying."""
        sizes = (self.hidden * self.inputs, self.hidden, self.classes * self.hidden)
        w1, b1, w2, b2 = np.split(flat, np.cumsum(sizes))
        return w1.reshape(self.hidden, self.inputs), b1, w2.reshape(self.classes, self.hidden), b2

    @property
    def layout(self) -> Layout:
        """Names and shapes of torch's ``Sequential(Linear, ReLU, Linear)``."""
        return Layout(
            (
                LayoutArray("0.weight", (self.hidden, self.inputs)),
                LayoutArray("0.bias", (self.hidden,)),
                LayoutArray("2.weight", (self.classes, self.hidden)),
                LayoutArray("2.bias", (self.classes,)),
            )
        )

    def initial(self, seed: int) -> NDArray[np.float32]:
        """He-uniform weights, U(-sqrt(6/fan_in), sqrt(6/fan_in)), and zero biases."""
        flat = np.zeros(self.dim, np.float32)
        rng = random_stream(seed, "mlp weights")
        w1, _, w2, _ = self.views(flat)
        for weights in (w1, w2):
            bound = math.sqrt(6 / weights.shape[1])
            weights[...] = rng.uniform(-bound, bound, weights.shape)
        return flat

    def gradient(self, params: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[float, Floats]:
        """Loss and gradient [dim]; the four products are written directly into one flat array."""
        _, _, w2, _ = self.views(params)
        active, slopes = self._forward(params, x)
        loss = softmax_cross_entropy(slopes, y)
        value = np.empty_like(params)
        w1_part, b1_part, w2_part, b2_part = self.views(value)
        np.matmul(slopes.T, active, out=w2_part)
        slopes.sum(axis=0, out=b2_part)
        back = slopes @ w2
        back *= active > 0
        np.matmul(back.T, x, out=w1_part)
        back.sum(axis=0, out=b1_part)
        return loss, value

    def score(self, params: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[float, int]:
        """Mean loss and correct answers."""
        _, logits = self._forward(params, x)
        correct = int(np.count_nonzero(logits.argmax(axis=1) == y))
        return softmax_cross_entropy(logits, y), correct

    def _forward(self, params: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Hidden activations [n, hidden] and logits [n, classes]."""
        w1, b1, w2, b2 = self.views(params)
        active = x @ w1.T
        active += b1
        np.maximum(active, 0, out=active)
        logits = active @ w2.T
        logits += b2
        return active, logits


@register_task
@dataclass(frozen=True)
class MlpKind(LabelledKind):
    """A network with one hidden ReLU layer.

    Attributes:
        dataset: any data set; the paper's are mnist and fashion_mnist with hidden=1000, cifar10 with hidden=4000.
            ``file`` is the site's own.
        hidden: units of the hidden layer.
        batch: samples per round; 0 is the worker's whole shard.
        features, classes, label: of own data without a schema.
    """

    dataset: str
    hidden: int = 1000
    batch: int = 0
    features: int = field(default=0, repr=False, metadata={"later": True})
    classes: int = field(default=0, repr=False, metadata={"later": True})
    label: str = field(default="", repr=False, metadata={"later": True})

    name = "mlp"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(1, "mlp", hidden=self.hidden)

    def model(self, inputs: int, classes: int, samples: int | None) -> MlpModel:
        return MlpModel(inputs, self.hidden, classes)
