"""Adam, and AdamW with decoupled weight decay."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from gradwire.common.errors import SpecError
from gradwire.common.training.optimizers.adaptive import Adaptive
from gradwire.common.training.optimizers.base import register
from gradwire.common.training.optimizers.portable import F64, power
from gradwire.common.training.optimizers.scheduled import check_fraction


@register
@dataclass(frozen=True, kw_only=True)
class Adam(Adaptive):
    """m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; params -= lr_t m' / (sqrt(v') + eps).

    m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t) with t counted from 1 ([Adam] algorithm 1), g = update +
    weight_decay * params: equal to torch.optim.Adam. With ``bias_correction=false``, m' = m and v' = v, which begins
    with ``initial``: FedAdam, Algorithm 2 of [FedOpt], for eps = tau and initial = tau^2.

    Computed in float64, see ``Adaptive``; powers by squaring.
    """

    lr: float = field(default=0.001, metadata={"first": True})
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    bias_correction: bool = True
    initial: float = 0.0

    name = "adam"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction(self.name, "beta2", self.beta2)
        if self.bias_correction and self.initial:
            raise SpecError(
                f"{self.name}: initial is {self.initial}, expected 0 with bias_correction=true, which assumes it"
            )

    def second_moment(self, v: F64, square: F64) -> F64:
        v *= self.beta2
        square *= 1 - self.beta2
        v += square
        return v

    def corrections(self, round_: int) -> tuple[float, float]:
        if not self.bias_correction:
            return 1.0, 1.0
        return 1 - power(self.beta1, round_ + 1), math.sqrt(1 - power(self.beta2, round_ + 1))


@register
@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """params *= 1 - lr_t * weight_decay, then the step of ``adam`` with g = update ([AdamW] algorithm 2).

    As in torch.optim.AdamW, the decay is multiplied by lr_t as a whole.
    """

    weight_decay: float = 0.01

    name = "adamw"

    def decay(self, x: F64, g: F64, lr: float) -> None:
        x *= 1 - lr * self.weight_decay
