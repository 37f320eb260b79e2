"""The model as a fold: parameters, optimizer state, and the digest that server and replicas compare.

The parameter vector [dim] is the trained coordinates, which the optimizer steps, then the averaged ones (running
statistics), which are stepped with rate 1: the update has the mean of old - new there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import all_finite
from gradwire.common.arrays.update import Sparse, Vector, as_dense
from gradwire.common.errors import LogError, NotFiniteError
from gradwire.common.training.digest import digest_of, digest_terms
from gradwire.common.training.optimizers import Optimizer
from gradwire.common.training.optimizers.averaged import AVERAGE

CONTROL = "control"  # the server's control variate of SCAFFOLD


class Model:
    """Parameters after ``round`` rounds.

    ``apply`` is deterministic: the same initial parameters and updates give the same bits on the server and
    on every replica.

    Attributes:
        params: float32 [dim].
        optimizer: steps the trained coordinates.
        trained: their number; the coordinates after them are averaged.
        control_rate: 1 / (H lr) of SCAFFOLD's local steps; None where the run has none.
        control_damping: by which its control variate moves, see ``local.control_damping``.
        state: named float32 arrays [trained]: the optimizer's, and ``CONTROL`` with a control rate.
        round: rounds folded so far.
    """

    def __init__(
        self,
        params: NDArray[np.float32],
        optimizer: Optimizer,
        *,
        averaged: int = 0,
        control_rate: float | None = None,
        control_damping: float = 1.0,
    ) -> None:
        """The model at round 0.

        Args:
            params: the initial parameters [dim].
            optimizer: of the trained coordinates.
            averaged: how many coordinates, at the end, are running statistics.
            control_rate: see the attribute.
            control_damping: see the attribute.
        """
        self.params = np.array(params, dtype=np.float32)  # a copy: the caller's array never changes under it
        self.optimizer = optimizer
        self.trained = self.params.size - averaged
        self.control_rate, self.control_damping = control_rate, control_damping
        self.state = optimizer.initial_state(self._head)
        if control_rate is not None:
            self.state[CONTROL] = np.zeros(self.trained, np.float32)
        self.round = 0
        self._digest: int | None = None

    @property
    def _head(self) -> NDArray[np.float32]:
        """The trained coordinates, a view."""
        return self.params[: self.trained]

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return self.params.size

    @property
    def reported(self) -> NDArray[np.float32]:
        """The parameters that are evaluated, [dim]: the mean iterate where the optimizer keeps one, else the last."""
        if AVERAGE not in self.state or self.trained == self.dim:
            return self.state.get(AVERAGE, self.params)
        return np.concatenate([self.state[AVERAGE], self.params[self.trained :]])

    @property
    def digest(self) -> int:
        """The 64-bit digest of the parameters; kept up to date by sparse steps, taken anew after dense ones."""
        if self._digest is None:
            self._digest = digest_of(self.params)
        return self._digest

    def verify(self) -> bool:
        """Compute the digest of all parameters anew; whether it equals the one that was kept."""
        return digest_of(self.params) == self.digest

    def apply(self, update: Vector, share: float = 1.0) -> None:
        """Fold one round's mean update.

        Args:
            update: float32 [dim].
            share: of the run's workers that it is the mean of; SCAFFOLD's control variate moves by that much.

        Raises:
            NotFiniteError: a parameter is no longer a finite number; the model is of no more use.
        """
        if isinstance(update, Sparse) and self.optimizer.sparse and self._digest is not None:
            before = digest_terms(update.indices, self.params[update.indices])
            self._step(update, share)
            after = digest_terms(update.indices, self.params[update.indices])
            self._digest = (self._digest - before + after) & 0xFFFFFFFFFFFFFFFF
        else:
            self._step(update, share)
            self._digest = None
        self.round += 1

    def _step(self, update: Vector, share: float) -> None:
        head = _first(update, self.trained)
        with np.errstate(over="ignore", invalid="ignore"):  # said better by what follows
            if self.control_rate is not None:
                self._step_control(head, share)
            self.optimizer.step(self._head, self.state, head, self.round)
            self._step_averages(update)
        touched = update.indices if isinstance(update, Sparse) and self.optimizer.sparse else slice(None)
        self._check(self.params[touched])

    def _step_control(self, update: Vector, share: float) -> None:
        """C += alpha |S| / N (mean (w - w_i) / (H lr) - c), from the decoded mean.

        [Scaffold] equation 5 with option II, damped by alpha.
        """
        control = self.state[CONTROL]
        target = as_dense(update) * np.float32(self.control_rate)
        control += np.float32(self.control_damping * share) * (target - control)

    def _step_averages(self, update: Vector) -> None:
        if self.trained == self.dim:
            return
        if isinstance(update, Sparse):
            cut = int(np.searchsorted(update.indices, self.trained))
            self.params[update.indices[cut:]] -= update.values[cut:].astype(np.float32, copy=False)
        else:
            self.params[self.trained :] -= update[self.trained :].astype(np.float32, copy=False)

    def _check(self, params: NDArray[np.float32]) -> None:
        if not all_finite(params):
            raise NotFiniteError(
                f"round {self.round}: the parameters are no longer finite numbers: begin anew with a smaller --lr"
            )

    def replace(self, params: NDArray[np.float32]) -> None:
        """Take the parameters after the next round as they are; optimizer state only as far as it follows from them.

        Raises:
            NotFiniteError: one of them is not a finite number; the model is as it was.
        """
        self._check(params)
        np.copyto(self.params, params)
        self.optimizer.observe(self._head, self.state, self.round)
        self.round += 1
        self._digest = None

    def snapshot(self) -> bytes:
        """Parameters and optimizer state as float32 little-endian bytes, in a fixed order."""
        parts = [self.params, *(self.state[name] for name in sorted(self.state))]
        return b"".join(np.ascontiguousarray(p, "<f4").tobytes() for p in parts)

    def restore(self, snapshot: bytes, round_: int) -> None:
        """Become the model that ``snapshot`` was taken of.

        Raises:
            LogError: the bytes are not a snapshot of this dimension and optimizer.
        """
        names = sorted(self.state)
        expected = snapshot_size(self.dim, self.trained, len(names))
        if len(snapshot) != expected:
            raise LogError(
                f"a snapshot has {len(snapshot)} bytes, expected {expected}: it belongs to another model"
            )
        values = np.frombuffer(snapshot, "<f4")
        np.copyto(self.params, values[: self.dim])
        self.round, self._digest = round_, None
        for name, array in zip(names, values[self.dim :].reshape(len(names), self.trained), strict=True):
            np.copyto(self.state[name], array)


def snapshot_size(dim: int, trained: int, arrays: int) -> int:
    """Bytes of a snapshot: the parameters, and so many arrays of state [trained]."""
    return 4 * (dim + trained * arrays)


def _first(update: Vector, size: int) -> Vector:
    """The first ``size`` coordinates of an update."""
    if not isinstance(update, Sparse):
        return update[:size]
    if update.size == size:
        return update
    cut = int(np.searchsorted(update.indices, size))
    return Sparse(size, update.indices[:cut], update.values[:cut])
