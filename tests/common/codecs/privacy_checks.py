"""Exact epsilons: the whole payload law at gradients chosen, and then optimised, to give themselves away."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from gradwire.common.codecs import AnyCodec
from gradwire.common.spec import Spec
from tests.common.codecs.examples import shared_seeds

F64 = NDArray[np.float64]
TIGHT = 1e-9
STEPS = 150  # of each search


def public_bound(codec: AnyCodec) -> float | None:
    """The public bound that gradients are clipped to, if there is one."""
    bound, gain = getattr(codec, "bound", None), getattr(codec, "gain", None)
    if isinstance(bound, float):
        return bound
    return float(gain.kwargs[0][1]) if isinstance(gain, Spec) and gain.name == "bound" else None


def check_epsilon(codec: AnyCodec) -> None:
    """No two gradients give one payload with odds beyond exp(epsilon), and some pair attains it."""
    for shared in shared_seeds(codec):
        worst = largest_log_odds(codec, shared)
        assert worst <= codec.epsilon, f"{codec}: epsilon is {worst!r}, stated {codec.epsilon!r}"
        if not codec.epsilon_is_bound:
            assert worst >= codec.epsilon - TIGHT * max(1.0, codec.epsilon), (
                f"{codec}: epsilon is {worst!r} at worst, stated {codec.epsilon!r}"
            )


def largest_log_odds(codec: AnyCodec, shared: int | None) -> float:
    """The largest ln P(y | x) / P(y | x') that is found over payloads y and gradients x and x'."""
    inputs = adversaries(codec, shared)
    laws = [codec.law(x, shared=shared) for x in inputs]
    payloads = sorted(set().union(*laws))
    with np.errstate(divide="ignore"):
        logs = np.log([[law.get(p, 0.0) for p in payloads] for law in laws])
    assert np.isfinite(logs).all(), f"{codec}: a payload is impossible for some gradient, so no epsilon holds"
    likely, unlikely = logs.argmax(axis=0), logs.argmin(axis=0)
    spread = logs.max(axis=0) - logs.min(axis=0)
    at = int(spread.argmax())
    most = search(codec, inputs[likely[at]], payloads[at], shared, 1)
    least = search(codec, inputs[unlikely[at]], payloads[at], shared, -1)
    return max(float(spread[at]), most - least)


def search(codec: AnyCodec, start: F64, payload: bytes, shared: int | None, sign: int) -> float:
    """The largest (sign 1) or least (-1) log-probability of a payload near a gradient, by Nelder and Mead's simplex."""

    def cost(x: F64) -> float:
        return -sign * math.log(codec.law(x, shared=shared).get(payload, 0.0) or 1e-300)

    scale = public_bound(codec) or 1.0
    found = minimize(
        cost,
        start + 0.01 * scale * np.cos(np.arange(codec.dim)),  # off the kinks where searches get stuck
        method="Nelder-Mead",
        options={"maxfev": STEPS, "xatol": 1e-12 * scale, "fatol": 1e-13},
    )
    return -sign * min(float(found.fun), cost(start))


def adversaries(codec: AnyCodec, shared: int | None) -> list[F64]:
    """Extreme points of balls, antipodal, and the steepest directions of each payload's probability."""
    dim, bound = codec.dim, public_bound(codec) or 1.0
    inputs = [np.zeros(dim)]
    inputs += [sign * bound * e for e in np.eye(dim) for sign in (1.0, -1.0)]
    for pattern in range(2 ** min(dim, 6)):
        signs = np.array([1.0 - 2 * (pattern >> i & 1) for i in range(dim)])
        inputs += [bound / math.sqrt(dim) * signs, bound * signs]
    return [*inputs, *steepest(codec, bound, shared)]


def steepest(codec: AnyCodec, bound: float, shared: int | None) -> Iterator[F64]:
    laws = [[codec.law(s * bound / 2 * e, shared=shared) for s in (1, -1)] for e in np.eye(codec.dim)]
    for payload in sorted(set().union(*(law for pair in laws for law in pair))):
        slope = np.array([up.get(payload, 0.0) - down.get(payload, 0.0) for up, down in laws])
        if slope.any():
            yield from (s * bound * slope / np.linalg.norm(slope) for s in (1, -1))
