"""The server's side of the recipes in docs/recipes.md in plain NumPy, without a line of gradwire's.

Each is a function of (x, delta, t): the parameters, the mean of what the workers moved by, and the round from 0. It
returns the next parameters and keeps its own state. With ``store=float32`` it rounds what it keeps as gradwire does and
has the same bits; with ``store=float64`` it is the formula of the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Server = Callable[[Array, Array, int], Array]
Store = Callable[[Array], Array]


def float32(x: Array) -> Array:
    return x.astype(np.float32)


def float64(x: Array) -> Array:
    return x.astype(np.float64)


def fedavg(eta: float, momentum: float = 0.0, *, store: Store) -> Server:
    """FedAvg for eta = 1, FedAvgM with momentum: v = momentum v + delta; x = x + eta v."""
    v: Array = np.zeros(1)

    def step(x: Array, delta: Array, t: int) -> Array:
        nonlocal v
        v = store(store(v) * store(np.array(momentum))) + store(delta)
        return store(x) + store(np.array(eta)) * v

    return step


def diloco(eta: float, momentum: float, *, store: Store) -> Server:
    """Nesterov's momentum: v = momentum v + delta; x = x + eta (delta + momentum v)."""
    v: Array = np.zeros(1)

    def step(x: Array, delta: Array, t: int) -> Array:
        nonlocal v
        x, delta = float64(x), float64(delta)
        new = momentum * float64(v) + delta
        v = store(new)
        return store(x + eta * (delta + momentum * new))

    return step


def algorithm_2(
    second: Callable[[Array, Array], Array], *, eta: float, tau: float, beta1: float, store: Store
) -> Server:
    """Algorithm 2 of [FedOpt]; ``second`` is v_t as a function of v_{t-1} and delta^2, v_{-1} = tau^2."""
    m: Array = np.zeros(1)
    v: Array = store(np.array([tau * tau]))

    def step(x: Array, delta: Array, t: int) -> Array:
        nonlocal m, v
        x, delta = float64(x), float64(delta)
        new_m = beta1 * float64(m) + (1 - beta1) * delta
        new_v = second(float64(v), delta * delta)
        m, v = store(new_m), store(new_v)
        return store(x + eta * (new_m / (np.sqrt(new_v) + tau)))

    return step


def fedadagrad(eta: float, tau: float, beta1: float = 0.0, *, store: Store) -> Server:
    return algorithm_2(lambda v, square: v + square, eta=eta, tau=tau, beta1=beta1, store=store)


def fedadam(eta: float, tau: float, beta1: float, beta2: float, *, store: Store) -> Server:
    return algorithm_2(
        lambda v, square: beta2 * v + (1 - beta2) * square, eta=eta, tau=tau, beta1=beta1, store=store
    )


def fedyogi(eta: float, tau: float, beta1: float, beta2: float, *, store: Store) -> Server:
    return algorithm_2(
        lambda v, square: v - (1 - beta2) * square * np.sign(v - square),
        eta=eta, tau=tau, beta1=beta1, store=store,
    )  # fmt: skip


def adamw(
    eta: float, decay: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, *, store: Store
) -> Server:
    """AdamW on the mean gradient, which is -delta."""
    m: Array = np.zeros(1)
    v: Array = np.zeros(1)

    def step(x: Array, delta: Array, t: int) -> Array:
        nonlocal m, v
        x, g = float64(x), -float64(delta)
        new_m, new_v = beta1 * float64(m) + (1 - beta1) * g, beta2 * float64(v) + (1 - beta2) * (g * g)
        m, v = store(new_m), store(new_v)
        first, second = 1 - by_squaring(beta1, t + 1), np.sqrt(1 - by_squaring(beta2, t + 1))
        return store(x * (1 - eta * decay) - (eta / first) * (new_m / (np.sqrt(new_v) / second + eps)))

    return step


def by_squaring(base: float, exponent: int) -> float:
    """base^exponent by the binary digits of the exponent, lowest first."""
    powers = [base]
    for _ in range(exponent.bit_length() - 1):
        powers.append(powers[-1] * powers[-1])
    result = 1.0
    for k, square in enumerate(powers):
        result = result * square if exponent >> k & 1 else result
    return result


# The optimizer of each recipe as docs/recipes.md spells it, and the same in plain NumPy.
SERVERS: Mapping[str, tuple[str, Callable[[Store], Server]]] = {
    "FedAvg": ("sgd(lr=1.0)", lambda store: fedavg(1.0, store=store)),
    "FedAvgM": ("sgd(lr=1.0, momentum=0.9)", lambda store: fedavg(1.0, 0.9, store=store)),
    "FedAdagrad": (
        "adagrad(lr=0.1, eps=0.001, initial=1e-6)",
        lambda store: fedadagrad(0.1, 1e-3, store=store),
    ),
    "FedAdam": (
        "adam(lr=0.01, beta2=0.99, eps=0.001, bias_correction=false, initial=1e-6)",
        lambda store: fedadam(0.01, 1e-3, 0.9, 0.99, store=store),
    ),
    "FedYogi": (
        "yogi(lr=0.01, beta2=0.99, eps=0.001, initial=1e-6)",
        lambda store: fedyogi(0.01, 1e-3, 0.9, 0.99, store=store),
    ),
    "DiLoCo": ("nesterov(lr=0.7, momentum=0.9)", lambda store: diloco(0.7, 0.9, store=store)),
    "Synchronous SGD": ("sgd(lr=0.1, momentum=0.9)", lambda store: fedavg(0.1, 0.9, store=store)),
    "Synchronous AdamW": ("adamw(lr=0.001)", lambda store: adamw(0.001, 0.01, store=store)),
}
