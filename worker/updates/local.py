"""Local steps around a task: the worker trains from the run's model, and the difference is its update.

    x = w;  H times: g = gradient(x); x = step(x, clip(g) + prox (x - w) + c - c_i);  update = w - x

Sources: [FedAvg] Algorithm 1 (``prox`` = 0, no control variates), [FedProx] equation 2, [Scaffold] Algorithm 1. With an
outer optimizer of rate 1 the mean of the updates leads to the mean of the workers' models.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import Array, all_finite, is_tensor, like, to_host
from gradwire.common.errors import NotFiniteError, SpecError
from gradwire.common.training.local import LocalSteps
from gradwire.common.training.model import CONTROL, Model
from gradwire.common.training.optimizers import Optimizer
from gradwire.worker.tasks import Gradient, Task
from gradwire.worker.tasks.base import layout_of
from gradwire.worker.updates.base import Remembering, State, UpdateSource, restore_task_state, task_state
from gradwire.worker.updates.controls import ARRAYS_KEPT, Controls
from gradwire.worker.updates.inner import BEGINNING, INNER, Before, Inner, NumpyInner
from gradwire.worker.updates.walk import Walk


class LocalUpdate(UpdateSource):
    """H steps of an inner optimizer on a worker's own data; step h of round t takes the task's gradient of t H + h.

    Averaged coordinates (running statistics) take the task's differences at rate 1. Steps that change nothing give an
    update of exactly zero. A torch task's steps stay on its device where torch has the optimizer.
    """

    def __init__(self, task: Task, local: LocalSteps, *, control_damping: float = 1.0) -> None:
        """No worker has any memory yet.

        Args:
            task: computes the gradients; its ``gradient(params, round=, worker=)`` is all that is needed.
            local: the number of steps, and how they are taken.
            control_damping: of the run's model, for SCAFFOLD.
        """
        self._task, self._local = task, local
        self._trained = layout_of(task).trained
        self._optimizer = local.build_optimizer()
        self._keeps = local.inner == "kept"
        self._kept: dict[int, State] = {}
        rate = local.control_rate
        self._controls = Controls(self._trained, rate, control_damping) if rate is not None else None

    @property
    def dim(self) -> int:
        return self._task.dim

    @property
    def remembers(self) -> bool:
        return self._keeps or self._controls is not None or isinstance(self._task, Remembering)

    @property
    def arrays_kept(self) -> int:
        inner = len(self._optimizer.initial_state(np.zeros(1, np.float32))) if self._keeps else 0
        return 2 * inner + (ARRAYS_KEPT if self._controls is not None else 0)

    # ---- one round -------------------------------------------------------------------------------------------

    def update(self, model: Model, *, round: int, worker: int) -> Gradient:
        first, steps = round * self._local.steps, self._local.steps
        gradient = self._task.gradient(model.params, round=first, worker=worker)
        start = self._placed(model.params, gradient.value)
        walk = Walk(start, self._trained, self._local, self._correction(model, worker, start))
        inner = self._inner(walk.head, Before(first, self._kept.get(worker, BEGINNING)))
        losses, examples = [gradient.loss], gradient.examples
        with np.errstate(over="ignore", invalid="ignore"):  # the codec refuses an update that is not finite
            walk.step(gradient.value, inner)
            for step in range(first + 1, first + steps):
                self._require_finite(walk.x, round, worker, step - first)
                gradient = self._task.gradient(self._given(walk.x), round=step, worker=worker)
                walk.step(gradient.value, inner)
                losses.append(gradient.loss)
                examples += gradient.examples
            update = walk.update
        if self._keeps:
            self._kept[worker] = inner.state()
        return Gradient(update, _mean(losses), examples)

    def _placed(self, params: NDArray[np.float32], gradient: Array) -> Array:
        """``params`` [dim] where the steps are taken: a tensor of its own on the gradients' device, or as they are."""
        on_device = is_tensor(gradient) and _torch_has(self._optimizer)
        return like(params.copy(), gradient) if on_device else params

    def _inner(self, x: Array, before: Before) -> Inner:
        if not is_tensor(x):
            return NumpyInner(self._optimizer, x, before)
        from gradwire.worker.updates.inner_torch import (
            TorchInner,  # imports torch, which other tasks do without
        )

        return TorchInner(self._optimizer, x, before)

    def _require_finite(self, x: Array, round_: int, worker: int, step: int) -> None:
        """Before a task, which may be the user's code, gets parameters that no server would send.

        Raises:
            NotFiniteError: one is infinite or not a number.
        """
        if not all_finite(x):
            raise NotFiniteError(
                f"worker {worker}, round {round_}: the parameters are not finite after {step} local steps; "
                "lower the rate of --local's optimizer"
            )

    def _given(self, x: Array) -> Array:
        """The parameters as the task takes them."""
        return x if getattr(self._task, "takes_tensors", False) else to_host(x)

    def _correction(self, model: Model, worker: int, x: Array) -> Array | None:
        """C - c_i [trained], where x is."""
        if self._controls is None:
            return None
        return like(self._controls.correction(worker, _control_of(model)), x)

    @property
    def follows_payloads(self) -> bool:
        return self._controls is not None

    def follow(self, model: Model, *, round: int, worker: int, carried: Array) -> None:
        if self._controls is not None:
            head = to_host(carried[: self._trained]).astype(np.float32, copy=False)
            self._controls.advance(worker, round, head, _control_of(model))

    # ---- memories --------------------------------------------------------------------------------------------

    def state(self, worker: int) -> State:
        kept = self._kept.get(worker, BEGINNING) if self._keeps else {}
        controls = self._controls.state(worker) if self._controls is not None else {}
        return {**kept, **controls, **task_state(self._task, worker)}

    def restore(self, worker: int, state: Mapping[str, Array]) -> None:
        if self._keeps:
            kept = {name: array for name, array in state.items() if name.startswith(INNER)}
            self._kept[worker] = kept
        if self._controls is not None:
            self._controls.restore(worker, state)
        restore_task_state(self._task, worker, state)

    def take_back(self, worker: int, round_: int) -> bool:
        return self._controls is not None and self._controls.take_back(worker, round_)


def _torch_has(optimizer: Optimizer) -> bool:
    from gradwire.worker.updates.inner_torch import torch_has

    return torch_has(optimizer)


def _control_of(model: Model) -> NDArray[np.float32]:
    """The server's control variate c [trained].

    Raises:
        SpecError: the model has none.
    """
    control = model.state.get(CONTROL)
    if control is None:
        raise SpecError(
            "the run's model has no control variate for scaffold: its server is of another release"
        )
    return control


def _mean(losses: list[float | None]) -> float | None:
    """The mean loss over the steps; None where one of them has none."""
    known = [loss for loss in losses if loss is not None]
    return sum(known) / len(known) if len(known) == len(losses) else None
