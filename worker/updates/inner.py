"""The optimizer of local steps: any of the server's optimizers, on the trained coordinates.

A round begins with the initial state (``inner=reset``) or with the one that the worker's last round left
(``inner=kept``). Schedules follow the steps of the run, t H + h, in both cases; bias corrections follow the steps that
the state is the result of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import Array, to_host
from gradwire.common.errors import LogError
from gradwire.common.training.optimizers import Optimizer
from gradwire.worker.updates.base import State

INNER = "inner."  # before the names of an inner optimizer's arrays
STEPS = INNER + "steps"  # that its state is the result of
BEGINNING: State = {STEPS: np.array([0])}


@dataclass(frozen=True, eq=False)
class Before:
    """What came before a round.

    Attributes:
        first: steps of the run.
        state: what the worker's last round left; ``BEGINNING`` for the initial state.
    """

    first: int
    state: Mapping[str, Array]

    @property
    def steps(self) -> int:
        """Steps that the state is the result of."""
        return int(to_host(kept_array(self.state, "steps", (1,)))[0])


class Inner(Protocol):
    """An optimizer during one round of one worker."""

    def step(self, x: Array, direction: Array) -> None:
        """Step ``x`` [trained] in place; ``direction`` [trained] is the caller's to give away."""

    def state(self) -> State:
        """The state after the steps so far, which no later round writes to."""


class NumpyInner:
    """Steps of ``optimizer`` on the host."""

    def __init__(self, optimizer: Optimizer, x: NDArray[np.float32], before: Before) -> None:
        """The optimizer before a round.

        Args:
            optimizer: the inner optimizer.
            x: the trained coordinates of the run's model.
            before: what came before the round.

        Raises:
            LogError: the state is not one of this optimizer.
        """
        self._steps = before.steps
        self._optimizer = optimizer.restarted(before.first - self._steps)
        self._arrays = optimizer.initial_state(x)
        if self._steps:
            for name, array in self._arrays.items():
                np.copyto(array, to_host(kept_array(before.state, name, array.shape)))

    def step(self, x: NDArray[np.float32], direction: NDArray[np.float32]) -> None:
        self._optimizer.step(x, self._arrays, direction, self._steps)
        self._steps += 1

    def state(self) -> State:
        arrays = {INNER + name: array for name, array in self._arrays.items()}
        return {STEPS: np.array([self._steps]), **arrays}


def kept_array(state: Mapping[str, Array], name: str, shape: tuple[int, ...]) -> Array:
    """An array of a kept state.

    Raises:
        LogError: it is missing or has another shape.
    """
    array = state.get(INNER + name)
    if array is None or tuple(array.shape) != shape:
        raise LogError(
            f"the kept state of the inner optimizer has no {name} of {list(shape)}: another release wrote it"
        )
    return array
