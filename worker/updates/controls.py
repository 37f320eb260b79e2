"""The workers' control variates of SCAFFOLD, option II ([Scaffold] Algorithm 1, equation 4).

The server's control variate c is the mean of the workers' c_i. A worker adds c - c_i to each of its gradients, and
after the round

    c_i <- c_i + alpha ((w - x) / (H lr) - c),

which for alpha = 1 is the mean of its gradients. The server moves c by the mean of the changes. Both take w - x as
the payload carries it and are damped alike (``control_damping``): else the errors of payloads would stay in the
difference of c and the mean of the c_i for good, and with it a bias in every step. A round that is committed without
a worker changes neither c nor, therefore, its c_i.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import Array, to_host
from gradwire.common.errors import LogError
from gradwire.common.training.model import CONTROL
from gradwire.worker.updates.base import State

F32 = NDArray[np.float32]
BEFORE = "control_before"  # the last computed round
ROUND = "control_round"
ARRAYS_KEPT = (
    3  # [trained] for each worker: c_i, before the last round, and before that where it is computed again
)


@dataclass(frozen=True, eq=False)
class _Change:
    """A round's change of c_i: what it was before."""

    round: int
    before: F32


class Controls:
    """c_i of each worker, float32 [trained], zero at first."""

    def __init__(self, trained: int, rate: float, damping: float = 1.0) -> None:
        """All zero.

        Args:
            trained: coordinates that are trained.
            rate: 1 / (H lr).
            damping: alpha, a power of two.
        """
        self._zero = np.zeros(trained, np.float32)
        self._rate, self._damping = rate, damping
        self._value: dict[int, F32] = {}
        self._changes: dict[int, _Change] = {}

    def value(self, worker: int) -> F32:
        """A worker's c_i [trained]."""
        return self._value.get(worker, self._zero)

    def correction(self, worker: int, server: F32) -> F32:
        """C - c_i [trained], which is added to each gradient of a round."""
        return server - self.value(worker)

    def advance(self, worker: int, round_: int, update: F32, server: F32) -> None:
        """Let a round count for a worker's c_i.

        Args:
            worker: its id.
            round_: the round.
            update: w - x, float32 [trained], as the payload carries it.
            server: c [trained] as it was in the round.
        """
        before = self.value(worker)
        self._changes[worker] = _Change(round_, before)
        self._value[worker] = before + self._damping * (update * self._rate - server)

    def take_back(self, worker: int, round_: int) -> bool:
        """Let c_i be, bit for bit, what it was before the last round; whether that was the round."""
        last = self._changes.get(worker)
        if last is None or last.round != round_:
            return False
        self._value[worker] = last.before
        del self._changes[worker]
        return True

    def state(self, worker: int) -> State:
        """c_i, and what it was before the last round."""
        last = self._changes.get(worker)
        before = {BEFORE: last.before, ROUND: np.array([last.round])} if last is not None else {}
        return {CONTROL: self.value(worker), **before}

    def restore(self, worker: int, state: Mapping[str, Array]) -> None:
        """Become what ``state`` returned.

        Raises:
            LogError: the arrays are not those of such a state.
        """
        arrays = {name: to_host(state[name]) for name in (CONTROL, BEFORE, ROUND) if name in state}
        if CONTROL not in arrays or (BEFORE in arrays) != (ROUND in arrays):
            raise LogError(
                f"the state of worker {worker} has no whole control variate: another release wrote it"
            )
        if any(arrays[name].shape != self._zero.shape for name in (CONTROL, BEFORE) if name in arrays):
            raise LogError(f"the control variate of worker {worker} has not {self._zero.size} numbers")
        self._value[worker] = arrays[CONTROL]
        self._changes.pop(worker, None)
        if BEFORE in arrays:
            self._changes[worker] = _Change(int(arrays[ROUND][0]), arrays[BEFORE])
