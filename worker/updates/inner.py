"""The optimizer of local steps: any of the server's optimizers, stepped in NumPy on the trained coordinates.

A round begins with the initial state (``inner=reset``) or with the state that the worker's last round left
(``inner=kept``). Schedules follow the steps of the run, t H + h, in both cases.
"""

from __future__ import annotations

from collections.abc import Mapping
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


class Inner(Protocol):
    """An optimizer during one round of one worker."""

    def step(self, x: Array, direction: Array) -> None:
        """Step ``x`` [trained] in place; ``direction`` [trained] is the caller's to give away."""

    def state(self) -> State:
        """The state after the steps so far, which no later round writes to."""


class NumpyInner:
    """Steps of ``optimizer`` on the host."""

    def __init__(
        self, optimizer: Optimizer, x: NDArray[np.float32], first: int, state: Mapping[str, Array] | None
    ) -> None:
        """The optimizer before a round.

        Args:
            optimizer: the inner optimizer.
            x: the trained coordinates of the run's model.
            first: steps of the run before the round.
            state: what the worker's last round left; none for the initial state.

        Raises:
            LogError: the state is not one of this optimizer.
        """
        self._optimizer, self._round = optimizer, first
        self._arrays = optimizer.initial_state(x)
        self._steps = 0
        if state and (steps := steps_of(state)):
            self._steps = steps
            for name, array in self._arrays.items():
                np.copyto(array, kept_array(state, name, array.shape))

    def step(self, x: NDArray[np.float32], direction: NDArray[np.float32]) -> None:
        self._optimizer.step(x, self._arrays, direction, self._round)
        self._round += 1
        self._steps += 1

    def state(self) -> State:
        arrays = {INNER + name: array for name, array in self._arrays.items()}
        return {STEPS: np.array([self._steps]), **arrays}


def steps_of(state: Mapping[str, Array]) -> int:
    """The number of steps that a state is the result of."""
    return int(to_host(kept_array(state, STEPS.removeprefix(INNER), (1,)))[0])


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
