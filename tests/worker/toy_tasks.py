"""Small tasks for tests of what runs around a task."""

from typing import Any

import numpy as np

from gradwire.common.training.layout import Layout, LayoutArray, Role
from gradwire.worker.tasks import Gradient

DIM = 6


class Logistic:
    """Logistic regression on data of each worker's own, a batch of 5 per step; convex, in float32."""

    dim = DIM

    def __init__(self, workers: int = 3, rows: int = 40) -> None:
        rng = np.random.default_rng(5)
        self.x = rng.normal(size=(workers, rows, DIM)).astype(np.float32)
        tilt = rng.normal(size=(workers, DIM, 1)).astype(np.float32)  # the sites differ
        self.y = np.sign(self.x @ tilt + rng.normal(size=(workers, rows, 1)))[..., 0].astype(np.float32)

    def initial(self) -> np.ndarray:
        return np.linspace(-1, 1, DIM, dtype=np.float32)

    def gradient(self, params: np.ndarray, *, round: int, worker: int) -> Gradient:
        rows = np.random.default_rng([round, worker]).choice(self.x.shape[1], 5, replace=False)
        x, y = self.x[worker, rows], self.y[worker, rows]
        margins = y * (x @ params)
        loss = float(np.log1p(np.exp(-margins)).mean())
        return Gradient((-(y / (1 + np.exp(margins))) @ x / np.float32(5)).astype(np.float32), loss, 5)

    def evaluate(self, params: np.ndarray) -> dict[str, float]:
        return {}


class WithStatistics(Logistic):
    """The last two coordinates are running statistics, which a step moves a tenth of the way to the batch's."""

    layout = Layout((LayoutArray("w", (DIM - 2,)), LayoutArray("running", (2,), role=Role.AVERAGED)))

    def gradient(self, params: np.ndarray, *, round: int, worker: int) -> Gradient:
        gradient = super().gradient(params, round=round, worker=worker)
        value = gradient.value.copy()
        batch = np.float32([round, worker])
        value[-2:] = np.float32(0.1) * (params[-2:] - batch)
        return Gradient(value, gradient.loss, gradient.examples)


class Torch(Logistic):
    """The same in torch: gradients are tensors."""

    def gradient(self, params: Any, *, round: int, worker: int) -> Gradient:
        import torch

        gradient = super().gradient(params, round=round, worker=worker)
        return Gradient(torch.from_numpy(gradient.value), gradient.loss, gradient.examples)


class Still(Logistic):
    """Every gradient is zero."""

    def gradient(self, params: np.ndarray, *, round: int, worker: int) -> Gradient:
        return Gradient(np.zeros(DIM, np.float32), None, 1)


class WithBuffers(Logistic):
    """Keeps a buffer per worker that no other process sees, and shifts the gradient by it."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: dict[int, np.ndarray] = {}

    def worker_state(self, worker: int) -> dict[str, np.ndarray]:
        return {"mean": self.buffers.get(worker, np.zeros(DIM, np.float32))}

    def restore_worker_state(self, worker: int, arrays: dict[str, np.ndarray]) -> None:
        self.buffers[worker] = np.asarray(arrays["mean"])

    def gradient(self, params: np.ndarray, *, round: int, worker: int) -> Gradient:
        gradient = super().gradient(params, round=round, worker=worker)
        mean = self.worker_state(worker)["mean"] * np.float32(0.5) + gradient.value
        self.buffers[worker] = mean
        return Gradient(gradient.value + mean, gradient.loss, gradient.examples)
