"""The parameters of one worker during the local steps of one round."""

from __future__ import annotations

import math

from gradwire.common.arrays.compat import Array, is_tensor, namespace, to_host
from gradwire.common.training.local import LocalSteps
from gradwire.worker.updates.inner import Inner


class Walk:
    """From the run's model w to the worker's own x, in float32.

    Attributes:
        x: where the walk is, [dim]; NumPy, or torch on the device of the gradients.
        head: its trained coordinates, a view.
    """

    def __init__(self, start: Array, trained: int, local: LocalSteps, correction: Array | None) -> None:
        """Stand at ``start``.

        Args:
            start: w [dim], not written to.
            trained: the number of coordinates that the optimizer steps; the others are averaged.
            local: how steps are taken.
            correction: added to each gradient, [trained]; None for none.
        """
        self._start, self._trained, self._local, self._correction = start, trained, local, correction
        self.x = _copied(start)
        self.head = self.x[:trained]

    def step(self, gradient: Array, inner: Inner) -> None:
        """Step ``inner`` with the gradient at x [dim], and subtract the averaged coordinates' differences."""
        gradient = _where(gradient, self.x)
        direction = _clipped(_copied(gradient[: self._trained]), self._local.clip)
        if self._local.prox:
            direction += self._local.prox * (self.head - self._start[: self._trained])
        if self._correction is not None:
            direction += self._correction
        inner.step(self.head, direction)
        tail = self.x[self._trained :]
        tail -= gradient[self._trained :]

    @property
    def update(self) -> Array:
        """W - x, float32 [dim]."""
        return self._start - self.x


def _copied(x: Array) -> Array:
    """A copy in float32."""
    xp = namespace(x)
    return xp.astype(x, xp.float32, copy=True)


def _where(gradient: Array, x: Array) -> Array:
    """A gradient on the backend and device of x."""
    if is_tensor(x):
        return gradient.detach().to(x.device)
    return to_host(gradient)


def _clipped(gradient: Array, largest: float) -> Array:
    """The gradient [trained], scaled in place to an l2 norm of at most ``largest``; 0 is no limit."""
    if largest:
        xp = namespace(gradient)
        norm = math.sqrt(float(xp.sum(xp.square(xp.astype(gradient, xp.float64)))))
        if norm > largest:
            gradient *= largest / norm
    return gradient
