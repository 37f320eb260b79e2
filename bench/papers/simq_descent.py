"""Descent on the hard instances of [S] section 6, with the step that the bound for its rounds asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gradwire.bench.papers.curves import curve
from gradwire.common.codecs import parse
from gradwire.common.errors import TaskError

FLOAT32 = "float32"
BOUND = "gain=bound(1.0)"
SPLIT_MOMENT = 12.0  # of the split quantizer, as [S] section 5 states it


def step_size(dim: int, p: float, alpha: float, rounds: int) -> float:
    """R / (alpha sqrt T), R the box's radius: in l2 from p = 2 on, below in l_p' and over sqrt(p' - 1) (theory 2.5).

    Below p = 2, alpha bounds l_q norms; in l_q' they are up to d^(1/p - 1/p') times as long.

    >>> step_size(64, 2.0, 1.0, 400), round(step_size(64, 4.0, 2.0, 400), 4)
    (0.05, 0.0707)
    """
    radius = float(dim ** (1 / exponent(dim, p) - 1 / p))
    if p >= 2:
        return radius / (alpha * math.sqrt(rounds))
    return radius**2 / (alpha * math.sqrt((exponent(dim, p) - 1) * rounds))


def guaranteed_gap(dim: int, p: float, alpha: float, rounds: int) -> float:
    """What the gap of the mean iterate is at most: d^(1/2 - 1/p) alpha / sqrt T, below p = 2 alpha / sqrt((p' - 1) T).

    The form of [S] Theorem 2.3 with its constants, for the box of diameter D = 2 around the start.
    """
    if p >= 2:
        return float(dim ** (0.5 - 1 / p)) * alpha / math.sqrt(rounds)
    return alpha / math.sqrt((exponent(dim, p) - 1) * rounds)


def exponent(dim: int, p: float) -> float:
    """The p' in whose norm descent is analysed: 2 from p = 2 on, below the mirror map's max(p, 1 + 1 / ln d)."""
    return min(2.0, max(p, 1 + 1 / math.log(dim)))


def optimizer(dim: int, p: float, alpha: float, rounds: int) -> str:
    """Projected descent from p = 2 on, mirror descent below, in the box |x_i| <= d^(-1/p); its mean iterate counts."""
    side, step = dim ** (-1 / p), step_size(dim, p, alpha, rounds)
    if p >= 2:
        return f"averaged(projected_sgd(lr={step!r}, radius={side!r}, p=inf))"
    return f"averaged(mirror_descent(lr={step!r}, radius={side!r}, p={p!r}, domain=box))"


def descend(
    task: str, codec: str, dim: int, p: float, *, alpha: float, rounds: int, seeds: Sequence[int]
) -> dict[str, Any]:
    """Train with one worker per seed's run.

    Args:
        task: its spec; the domain is the box of side 2 dim^(-1/p).
        codec: its spec.
        dim: d.
        p: of the norm in which the function is Lipschitz.
        alpha: the root of the largest second moment of what the codec sends, which sets the step.
        rounds: T.
        seeds: of the runs; each is a function, an oracle and coins of its own.

    Returns:
        ``gaps`` of the mean iterates, exact, one per seed; ``bits`` of a payload.

    Raises:
        TaskError: a run diverged, which cannot be on a bounded domain.
    """
    gaps, bits = [], 0.0
    for seed in seeds:
        found = curve(
            "gap",
            task=task,
            codec=codec,
            optimizer=optimizer(dim, p, alpha, rounds),
            workers=1,
            rounds=rounds,
            seed=seed,
            evaluate_every=0,
            downlink="model",
        )
        if found is None:
            raise TaskError(f"{task} diverged with {codec}")
        gaps.append(found["values"][-1])
        bits = found["bits"]
    return {"gaps": gaps, "bits": bits}


def nbits(codec: str, dim: int) -> int:
    """Of a payload."""
    return parse(codec, dim).nbits


def shortest_code(codec: str) -> str:
    """The codec that decodes to the same estimates and has the fewest bits.

    >>> shortest_code("simq_plus(4, gain=bound(1.0))"), shortest_code("float32")
    ('simq_plus(4, gain=bound(1.0), coding=l1_ball)', 'float32')
    """
    return f"{codec[:-1]}, coding=l1_ball)" if codec.startswith("simq") else codec
