"""A custom task whose model has named arrays: trained ones, one of them tied, and a running mean."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.training.layout import Layout, LayoutArray, Role
from gradwire.worker.tasks import Gradient

TASK = "custom(tests.system.laid_out:make)"
ALLOWED = frozenset({"tests.system.laid_out:make"})


class LinearModel:
    """Least squares with standardised inputs; the running mean of the inputs is an averaged array."""

    layout = Layout(
        (
            LayoutArray("linear.weight", (2, 3), aliases=("tied.weight",)),
            LayoutArray("linear.bias", (2,), "float16"),
            LayoutArray("norm.running_mean", (3,), role=Role.AVERAGED),
        )
    )
    dim = layout.dim

    def __init__(self, workers: int, seed: int) -> None:
        rng = np.random.default_rng((seed, 1))
        self._start = rng.standard_normal(self.dim).astype(np.float32)
        self._inputs = rng.standard_normal((workers, 20, 3)) + 0.5
        self._targets = rng.standard_normal((workers, 20, 2))

    def initial(self) -> NDArray[np.float32]:
        return self._start

    def gradient(self, params: NDArray[np.float32], *, round: int, worker: int) -> Gradient:
        x, error = self._error(params, worker)
        head = np.concatenate([(error.T @ x / 20).reshape(-1), error.mean(0)])
        mean = params[8:]
        tail = 0.1 * (mean - self._inputs[worker].mean(0))
        return Gradient(np.concatenate([head, tail]).astype(np.float32), float((error**2).mean()), 20)

    def evaluate(self, params: NDArray[np.float32]) -> dict[str, float]:
        errors = [(self._error(params, worker)[1] ** 2).mean() for worker in range(len(self._inputs))]
        return {"error": float(np.mean(errors))}

    def _error(self, params: NDArray[np.float32], worker: int) -> tuple[Any, Any]:
        weight, bias, mean = params[:6].reshape(2, 3), params[6:8], params[8:]
        x = self._inputs[worker] - mean
        return x, x @ weight.T + bias - self._targets[worker]


def make(workers: int, seed: int) -> LinearModel:
    return LinearModel(workers, seed)
