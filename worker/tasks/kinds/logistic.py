"""``logistic(dataset)``: binary logistic regression as in [V] equation 29."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import SpecError
from gradwire.common.training.layout import Layout, LayoutArray
from gradwire.worker.tasks.labelled import LabelledKind
from gradwire.worker.tasks.losses import logistic_loss
from gradwire.worker.tasks.own_data import FILE
from gradwire.worker.tasks.registry import register_task
from gradwire.worker.tasks.supervised import Floats


@dataclass(frozen=True)
class LogisticModel:
    """mean_i log(1 + exp(-b_i a_iᵀθ)) + (l2 / 2) |θ|², labels b = ±1, no bias ([V] eq. 29 has none).

    Every worker adds the whole regulariser, so the mean of the workers' gradients over equal shards is the gradient of
    eq. 29 over all samples.
    """

    dim: int
    l2: float

    @property
    def layout(self) -> Layout:
        """One weight for each feature."""
        return Layout((LayoutArray("weight", (self.dim,)),))

    def initial(self, seed: int) -> NDArray[np.float32]:
        """Zeros [dim]: the loss is convex."""
        return np.zeros(self.dim, np.float32)

    def gradient(self, params: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[float, Floats]:
        """Loss and gradient [dim]; classes y are 1 for b = +1 and 0 for b = -1."""
        signs = (2 * y - 1).astype(params.dtype)
        loss, slopes = logistic_loss(signs * (x @ params))
        value = (slopes * signs) @ x / len(y) + params.dtype.type(self.l2) * params
        return loss + self.l2 / 2 * float(params @ params), value

    def score(self, params: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[float, int]:
        """Mean loss and correct answers; a sample on the boundary counts as class +1."""
        scores = x @ params
        loss, _ = logistic_loss((2 * y - 1).astype(params.dtype) * scores)
        return loss, int(np.count_nonzero((scores >= 0) == (y == 1)))


@register_task
@dataclass(frozen=True)
class LogisticKind(LabelledKind):
    """Binary logistic regression.

    Attributes:
        dataset: a two-class data set: a5a, a9a, splice, gisette, mnist49; ``file`` is the site's own.
        l2: weight of |θ|²/2; "auto" is 1/n for n training samples, as printed in eq. 29, and 0 for a site's own data:
            no site knows how many the others have.
        batch: samples per round; 0 is the worker's whole shard.
        features, label: of own data without a schema.
    """

    dataset: str
    l2: float | str = "auto"
    batch: int = 0
    features: int = field(default=0, repr=False, metadata={"later": True})
    label: str = field(default="", repr=False, metadata={"later": True})

    name = "logistic"

    def __post_init__(self) -> None:
        super().__post_init__()
        valid = self.l2 == "auto" if isinstance(self.l2, str) else 0 <= self.l2 < math.inf
        if not valid:
            raise SpecError(f"logistic: l2 is {self.l2}, expected a number of at least 0, or auto for 1/n")

    @property
    def classes(self) -> int:  # type: ignore[override]  # not for the spec to say
        """Of own data."""
        return 2 if self.dataset == FILE else 0

    def model(self, inputs: int, classes: int, samples: int | None) -> LogisticModel:
        if classes != 2:
            raise SpecError(
                f"logistic needs two classes and {self.dataset} has {classes}: write softmax({self.dataset})"
            )
        automatic = 1 / samples if samples else 0.0
        return LogisticModel(inputs, automatic if isinstance(self.l2, str) else self.l2)
