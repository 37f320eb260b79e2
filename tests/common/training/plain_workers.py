"""The workers' side of the recipes in docs/recipes.md in plain NumPy, without a line of gradwire's.

Each is a function of (gradient, w, t, i): ``gradient(x, step)`` of the worker, the run's model, the round from 0, and
the worker's id. It returns w - x, float32, and keeps what the recipe's worker keeps. Together with ``plain_servers``
and ``run`` it is a whole run, which has gradwire's bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from tests.common.training.plain_servers import SERVERS, Store, by_squaring, fedavg, float32

F32 = np.float32
Vector = NDArray[np.float32]
Gradient = Callable[[Vector, int], Vector]
Worker = Callable[[Gradient, Vector, int, int], Vector]


def sgd(steps: int, rate: Callable[[int], float], mu: float = 0.0) -> Worker:
    """Plain SGD with a rate per step of the run; mu of FedProx."""

    def drift(gradient: Gradient, w: Vector, t: int, i: int) -> Vector:
        x = w
        for step in range(t * steps, (t + 1) * steps):
            g = gradient(x, step)
            x = x - F32(rate(step)) * (g + F32(mu) * (x - w) if mu else g)
        return w - x

    return drift


class Scaffold:
    """[Scaffold] Algorithm 1, option II; ``count`` after each round of all workers."""

    def __init__(self, steps: int, lr: float) -> None:
        self.steps, self.lr, self.c = steps, lr, F32(0)
        self.own: dict[int, Vector] = {}

    def __call__(self, gradient: Gradient, w: Vector, t: int, i: int) -> Vector:
        x, own = w, self.own.setdefault(i, np.zeros_like(w))
        for step in range(t * self.steps, (t + 1) * self.steps):
            x = x - F32(self.lr) * (gradient(x, step) + (self.c - own))
        self.own[i] = own + ((w - x) * F32(1 / (self.steps * self.lr)) - self.c)
        return w - x

    def count(self, mean_drift: Vector) -> None:
        self.c = self.c + (mean_drift * F32(1 / (self.steps * self.lr)) - self.c)


def adamw(steps: int, lr: float, decay: float, clip: float) -> Worker:
    """AdamW whose moments stay with the worker, after clipping by the norm."""
    kept: dict[int, tuple[Vector, Vector, int]] = {}

    def drift(gradient: Gradient, w: Vector, t: int, i: int) -> Vector:
        x, (m, v, n) = w, kept.get(i, (np.zeros_like(w), np.zeros_like(w), 0))
        for step in range(t * steps, (t + 1) * steps):
            g, n = gradient(x, step), n + 1
            norm = float(np.sqrt(np.sum(g.astype(float) ** 2)))
            g = (g * F32(clip / norm) if norm > clip else g).astype(float)
            second = 0.999 * v.astype(float) + (1 - 0.999) * (g * g)
            first = 0.9 * m.astype(float) + (1 - 0.9) * g
            root = np.sqrt(second) / np.sqrt(1 - by_squaring(0.999, n)) + 1e-8
            new = x.astype(float) * (1 - lr * decay) - first / root * (lr / (1 - by_squaring(0.9, n)))
            x, m, v = float32(new), float32(first), float32(second)
        kept[i] = m, v, n
        return w - x

    return drift


def one_gradient(gradient: Gradient, w: Vector, t: int, i: int) -> Vector:
    """Without local steps."""
    return gradient(w, t)


def constant(lr: float) -> Callable[[int], float]:
    return lambda step: lr


FEDAVG = ("FedAvg", "FedAvgM", "FedAdagrad", "FedAdam", "FedYogi")  # the same worker
WORKERS: Mapping[str, Callable[[], Worker]] = {
    **dict.fromkeys(FEDAVG, lambda: sgd(50, constant(0.05))),
    "Local SGD": lambda: sgd(8, lambda step: 0.05 / (step + 1) ** 0.5),
    "FedProx": lambda: sgd(50, constant(0.05), mu=0.01),
    "SCAFFOLD": lambda: Scaffold(50, 0.05),
    "DiLoCo": lambda: adamw(100, 0.001, 0.1, 1.0),
    "Synchronous SGD": lambda: one_gradient,
    "Synchronous AdamW": lambda: one_gradient,
}


def run(
    recipe: str, gradient: Callable[[Vector, int, int], Vector], w: Vector, *, workers: int, rounds: int
) -> Iterator[Vector]:
    """The models after every round of a recipe, all workers in each.

    Args:
        recipe: as the table names it.
        gradient: at x, in a step of the run, of a worker.
        w: the initial model.
        workers: of the run.
        rounds: of the run.
    """
    worker = WORKERS[recipe]()
    build: Callable[[Store], Callable[..., NDArray[np.floating]]] = (
        SERVERS[recipe][1] if recipe in SERVERS else lambda store: fedavg(1.0, store=store)
    )
    server = build(float32)
    for t in range(rounds):
        drifts = [worker(lambda x, step, i=i: gradient(x, step, i), w, t, i) for i in range(workers)]
        mean = float32(sum(drift.astype(float) for drift in drifts) / workers)
        if isinstance(worker, Scaffold):
            worker.count(mean)
        w = float32(np.asarray(server(w, -mean, t)))
        yield w
