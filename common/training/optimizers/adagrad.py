"""Adagrad."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradwire.common.training.optimizers.adaptive import Adaptive
from gradwire.common.training.optimizers.base import register
from gradwire.common.training.optimizers.portable import F64


@register
@dataclass(frozen=True, kw_only=True)
class Adagrad(Adaptive):
    """v = v + g^2; params -= lr_t g / (sqrt(v) + eps), with g = update + weight_decay * params.

    The diagonal form of [Adagrad]: equal to torch.optim.Adagrad. With ``beta1`` above 0 the step has m = beta1 m +
    (1 - beta1) g in place of g: FedAdagrad, Algorithm 2 of [FedOpt], for eps = tau and initial = tau^2.

    Computed in float64, see ``Adaptive``.
    """

    lr: float = field(default=0.01, metadata={"first": True})
    beta1: float = 0.0
    eps: float = 1e-10
    weight_decay: float = 0.0
    initial: float = 0.0

    name = "adagrad"

    def second_moment(self, v: F64, square: F64) -> F64:
        v += square
        return v
