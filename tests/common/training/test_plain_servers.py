"""Server optimizers against the plain reimplementations of the recipes, on a convex problem with local steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from tests.common.training import plain_servers
from tests.common.training.plain_servers import SERVERS, Server, Store, float32, float64

WORKERS, DIM, ROUNDS, LOCAL = 4, 30, 120, 5
BETAS = [(0.9, 0.99), (0.0, 0.99), (0.5, 0.999)]


class Quadratics:
    """Worker k's objective is |A_k (x - c_k)|^2 / (2 rows): strongly convex, with another optimum for each worker."""

    def __init__(self) -> None:
        rng = np.random.default_rng(11)
        self.a = rng.normal(size=(WORKERS, 40, DIM))
        self.c = rng.normal(size=(WORKERS, DIM)) + 3

    def gradient(self, k: int, x: NDArray[np.floating]) -> NDArray[np.floating]:
        found: NDArray[np.floating] = self.a[k].T @ (self.a[k] @ (x - self.c[k])) / 40
        return found

    def update(self, x: NDArray[np.floating]) -> NDArray[np.float32]:
        """The mean pseudo-gradient of ``LOCAL`` steps of plain SGD from x, float32 [DIM]."""
        moved = []
        for k in range(WORKERS):
            local = x.astype(np.float64)
            for _ in range(LOCAL):
                local = local - 0.05 * self.gradient(k, local)
            moved.append(x - local)
        return np.mean(moved, axis=0).astype(np.float32)

    def loss(self, x: NDArray[np.floating]) -> float:
        return float(sum(np.sum((self.a[k] @ (x - self.c[k])) ** 2) for k in range(WORKERS)))


PROBLEM = Quadratics()


def compare(spec: str, server: Server, rounds: int = ROUNDS) -> tuple[Model, NDArray[np.floating], bool]:
    """The model after all rounds, the plain server's parameters, and whether they were equal in every round."""
    start = np.zeros(DIM, np.float32)
    model, x, equal = Model(start, parse_optimizer(spec)), start.astype(np.float64), True
    for t in range(rounds):
        update = PROBLEM.update(model.params)
        model.apply(update)
        x = np.asarray(server(x, -update, t), np.float64)
        equal &= bool((model.params == x).all())
    return model, x, equal


@pytest.mark.parametrize("recipe", SERVERS)
def test_recipe_is_its_plain_reimplementation_bit_for_bit(recipe: str) -> None:
    spec, build = SERVERS[recipe]
    model, _, equal = compare(spec, build(float32))
    assert equal and PROBLEM.loss(model.params) < 0.95 * PROBLEM.loss(np.zeros(DIM))


@pytest.mark.parametrize("recipe", SERVERS)
def test_recipe_follows_the_formula_in_float64(recipe: str) -> None:
    spec, build = SERVERS[recipe]
    model, x, _ = compare(spec, build(float64))
    assert np.linalg.norm(model.params - x) <= 1e-6 * np.linalg.norm(x)


@pytest.mark.parametrize("betas", BETAS)
@pytest.mark.parametrize("tau", [1e-3, 1e-1])
@pytest.mark.parametrize("store", [float32, float64])
def test_algorithm_2(betas: tuple[float, float], tau: float, store: Store) -> None:
    """FedAdam, FedYogi and FedAdagrad for other parameters, from v_{-1} = tau^2 on."""
    beta1, beta2 = betas
    common = f"lr=0.03, beta1={beta1}, eps={tau}, initial={tau * tau!r}"
    pairs: dict[str, Callable[..., Server]] = {
        f"adam({common}, beta2={beta2}, bias_correction=false)": plain_servers.fedadam,
        f"yogi({common}, beta2={beta2})": plain_servers.fedyogi,
    }
    for spec, build in pairs.items():
        check(spec, build(0.03, tau, beta1, beta2, store=store), store)
    check(f"adagrad({common})", plain_servers.fedadagrad(0.03, tau, beta1, store=store), store)


def check(spec: str, server: Server, store: Store) -> None:
    model, x, equal = compare(spec, server)
    assert equal if store is float32 else np.linalg.norm(model.params - x) <= 1e-6 * np.linalg.norm(x), spec


def test_fedavg_is_the_mean_of_the_models() -> None:
    start = np.linspace(-1, 1, DIM, dtype=np.float32)
    models = start + np.random.default_rng(0).normal(size=(WORKERS, DIM)).astype(np.float32)
    server = Model(start, parse_optimizer("sgd(lr=1.0)"))
    server.apply((start - models).mean(axis=0, dtype=np.float32))
    assert np.allclose(server.params, models.mean(axis=0), rtol=0, atol=1e-6)


def test_plain_servers_differ_from_each_other() -> None:
    """No two recipes are the same on this problem, so that none passes for another."""
    found = {compare(spec, build(float32), 5)[0].digest for spec, build in SERVERS.values()}
    assert len(found) == len(SERVERS)
