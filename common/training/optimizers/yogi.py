"""Yogi."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gradwire.common.training.optimizers.adaptive import Adaptive
from gradwire.common.training.optimizers.base import register
from gradwire.common.training.optimizers.portable import F64
from gradwire.common.training.optimizers.scheduled import check_fraction


@register
@dataclass(frozen=True, kw_only=True)
class Yogi(Adaptive):
    """v = v - (1 - beta2) g^2 sign(v - g^2); m and the step as of ``adam`` without bias correction.

    [Yogi] algorithm 2. v moves by at most (1 - beta2) g^2 per round, so a few rounds with small updates do not raise
    the step as they do with ``adam``. FedYogi, Algorithm 2 of [FedOpt], for eps = tau and initial = tau^2.

    Computed in float64, see ``Adaptive``.
    """

    lr: float = field(default=0.01, metadata={"first": True})
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-3
    weight_decay: float = 0.0
    initial: float = 1e-6

    name = "yogi"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction(self.name, "beta2", self.beta2)

    def second_moment(self, v: F64, square: F64) -> F64:
        sign = np.sign(v - square)
        square *= 1 - self.beta2
        square *= sign
        v -= square
        return v
