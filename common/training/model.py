"""The model as a fold: parameters, optimizer state, and the digest that server and replicas compare."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import all_finite
from gradwire.common.arrays.update import Sparse, Vector
from gradwire.common.errors import LogError, NotFiniteError
from gradwire.common.training.digest import digest_of, digest_terms
from gradwire.common.training.optimizers import Optimizer
from gradwire.common.training.optimizers.averaged import AVERAGE


class Model:
    """Parameters after ``round`` rounds.

    ``apply`` is deterministic: the same initial parameters and updates give the same bits on the server and
    on every replica.
    """

    def __init__(self, params: NDArray[np.float32], optimizer: Optimizer) -> None:
        self.params = np.array(params, dtype=np.float32)  # a copy: the caller's array never changes under it
        self.optimizer = optimizer
        self.state = optimizer.initial_state(self.params)
        self.round = 0
        self._digest: int | None = None

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return self.params.size

    @property
    def reported(self) -> NDArray[np.float32]:
        """The parameters that are evaluated, [dim]: the mean iterate where the optimizer keeps one, else the last."""
        return self.state.get(AVERAGE, self.params)

    @property
    def digest(self) -> int:
        """The 64-bit digest of the parameters; kept up to date by sparse steps, taken anew after dense ones."""
        if self._digest is None:
            self._digest = digest_of(self.params)
        return self._digest

    def verify(self) -> bool:
        """Compute the digest of all parameters anew; whether it equals the one that was kept."""
        return digest_of(self.params) == self.digest

    def apply(self, update: Vector) -> None:
        """Fold one round's mean update, float32 [dim].

        Raises:
            NotFiniteError: a parameter is no longer a finite number; the model is of no more use.
        """
        if isinstance(update, Sparse) and self.optimizer.sparse and self._digest is not None:
            before = digest_terms(update.indices, self.params[update.indices])
            self._step(update)
            after = digest_terms(update.indices, self.params[update.indices])
            self._digest = (self._digest - before + after) & 0xFFFFFFFFFFFFFFFF
        else:
            self._step(update)
            self._digest = None
        self.round += 1

    def _step(self, update: Vector) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # said better by what follows
            self.optimizer.step(self.params, self.state, update, self.round)
        touched = update.indices if isinstance(update, Sparse) and self.optimizer.sparse else slice(None)
        self._check(self.params[touched])

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
        self.optimizer.observe(self.params, self.state, self.round)
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
        expected = 4 * self.dim * (1 + len(names))
        if len(snapshot) != expected:
            raise LogError(
                f"a snapshot has {len(snapshot)} bytes, expected {expected}: it belongs to another model"
            )
        parts = np.frombuffer(snapshot, "<f4").reshape(1 + len(names), self.dim)
        np.copyto(self.params, parts[0])
        self.round, self._digest = round_, None
        for name, values in zip(names, parts[1:], strict=True):
            np.copyto(self.state[name], values)
