"""The optimizer of local steps on a torch device, by torch.optim. Imported only for gradients that are tensors.

``sgd``, ``nesterov``, ``adam`` and ``adamw`` are torch's own, on one flat tensor: the numbers that plain PyTorch gives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gradwire.common.arrays.compat import is_tensor
from gradwire.common.training.optimizers import Optimizer
from gradwire.common.training.optimizers.adam import Adam, AdamW
from gradwire.common.training.optimizers.nesterov import Nesterov
from gradwire.common.training.optimizers.scheduled import Scheduled
from gradwire.common.training.optimizers.sgd import SGD
from gradwire.worker.updates.base import State
from gradwire.worker.updates.inner import INNER, STEPS, Before, kept_array

COUNT = "step"  # torch's own name for it; a worker's record has it once for all optimizers


class TorchInner:
    """Steps of ``optimizer`` where the parameters are."""

    def __init__(self, optimizer: Optimizer, x: torch.Tensor, before: Before) -> None:
        """The optimizer before a round.

        Args:
            optimizer: one for which ``torch_has`` is true.
            x: the trained coordinates, which ``step`` is then called with.
            before: what came before the round.

        Raises:
            LogError: the state is not one of this optimizer.
        """
        assert isinstance(optimizer, Scheduled)
        self._optimizer, self._round, self._steps = optimizer, before.first, before.steps
        self._x, self._torch = x, _built(optimizer, x)
        if before.steps:
            own: dict[str, Any] = {
                name: _placed(kept_array(before.state, name, tuple(x.shape)), x)
                for name in _arrays(optimizer)
            }
            if isinstance(optimizer, Adam):
                own[COUNT] = torch.tensor(float(before.steps))
            self._torch.state[x] = own

    def step(self, x: torch.Tensor, direction: torch.Tensor) -> None:
        for group in self._torch.param_groups:
            group["lr"] = self._optimizer.rate(self._round)
        x.grad = direction
        self._torch.step()
        x.grad = None
        self._round += 1
        self._steps += 1

    def state(self) -> State:
        own = self._torch.state[self._x]
        arrays = {INNER + name: own[name] for name in _arrays(self._optimizer)}
        return {STEPS: np.array([self._steps]), **arrays}


def torch_has(optimizer: Optimizer) -> bool:
    """Whether torch.optim has an optimizer, step for step."""
    if isinstance(optimizer, Adam):
        return optimizer.bias_correction
    return isinstance(optimizer, SGD | Nesterov)


def _built(optimizer: Scheduled, x: torch.Tensor) -> torch.optim.Optimizer:
    if isinstance(optimizer, Adam):
        kind = torch.optim.AdamW if isinstance(optimizer, AdamW) else torch.optim.Adam
        return kind(
            [x],
            lr=optimizer.lr,
            betas=(optimizer.beta1, optimizer.beta2),
            eps=optimizer.eps,
            weight_decay=optimizer.weight_decay,
            foreach=False,
        )
    assert isinstance(optimizer, SGD | Nesterov)
    return torch.optim.SGD(
        [x],
        lr=optimizer.lr,
        momentum=optimizer.momentum,
        weight_decay=optimizer.weight_decay,
        nesterov=isinstance(optimizer, Nesterov) and optimizer.momentum > 0,
        foreach=False,
    )


def _arrays(optimizer: Optimizer) -> tuple[str, ...]:
    """The names that torch gives an optimizer's arrays."""
    if isinstance(optimizer, Adam):
        return ("exp_avg", "exp_avg_sq")
    assert isinstance(optimizer, SGD | Nesterov)
    return ("momentum_buffer",) if optimizer.momentum else ()


def _placed(array: Any, x: torch.Tensor) -> torch.Tensor:
    """A copy of a kept array where x is."""
    return array.clone().to(x.device) if is_tensor(array) else torch.tensor(array, device=x.device)
