"""The least squares of [V] Figures 2 and 3: a step of one grid, tuned on one seed, then runs of several seeds.

With n rows in shards of m, A's entries N(0, 1), and an unbiased quantizer of relative variance w, independent in N
workers, a round of step h multiplies the expected squared distance to the optimum by

    1 - 2h + h^2 (1 + (d + 1)/n + w (1 + (d + 1)/m) / N)

as long as the error does not depend on A, which is so in the first round. Its least value, at h* = 1 / (1 + …), is
1 - h*. vqSGD's cross-polytope has w = (d - 1) / s for every vector ([V] Proposition 10).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from gradwire.bench.papers.curves import curve, first_at_most

SAMPLES, WORKERS = 10_000, 500
STEPS = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
TUNING_ROUNDS, TUNING_SEED = 10, 100
TARGET = 0.01  # of the first distance
MARGIN, MOST_ROUNDS = 1.8, 800


def relative_second_moment(dim: int, variance: float, *, samples: int, workers: int) -> float:
    """1 + (d + 1)/n + w (1 + (d + 1)/m) / N: the expected square of the mean estimate over that of the error."""
    shard = samples / workers
    return 1 + (dim + 1) / samples + variance * (1 + (dim + 1) / shard) / workers


def predicted_factor(dim: int, variance: float, step: float, *, samples: int, workers: int) -> float:
    """By what a round multiplies the expected squared distance, see the module's formula."""
    return 1 - 2 * step + step**2 * relative_second_moment(dim, variance, samples=samples, workers=workers)


def predicted_best_step(dim: int, variance: float, *, samples: int, workers: int) -> float:
    """The step at which that factor is least."""
    return 1 / relative_second_moment(dim, variance, samples=samples, workers=workers)


def common_step(dim: int) -> float:
    """The grid's best step for vqSGD with s = 1, by the formula: all schemes get there with it."""
    return min(STEPS, key=lambda h: predicted_factor(dim, dim - 1, h, samples=SAMPLES, workers=WORKERS))


def distances(
    codec: str, dim: int, step: float, rounds: int, seed: int, **sizes: int
) -> dict[str, Any] | None:
    """|theta* - theta_t| after 0, 1, … rounds; the model is broadcast, as in the paper."""
    samples, workers = sizes.get("samples", SAMPLES), sizes.get("workers", WORKERS)
    return curve(
        "distance",
        task=f"least_squares(samples={samples}, dim={dim})",
        codec=codec,
        optimizer=f"sgd(lr={step})",
        workers=workers,
        rounds=rounds,
        seed=seed,
        downlink="model",
    )


def measure(
    codec: str, dim: int, seeds: Sequence[int], common_seeds: Sequence[int], **sizes: int
) -> dict[str, Any]:
    """Tune the step, then run.

    Args:
        codec: its spec.
        dim: d.
        seeds: of the runs at the scheme's own best step.
        common_seeds: of those at the step that all schemes have in common.
        sizes: ``samples`` and ``workers``, if they are not the paper's.

    Returns:
        ``tuning``, pairs of a step and what is left of the distance after the tuning rounds (None: diverged); the
        ``best`` step and the ``common`` one; ``bits`` of a payload; ``own`` and ``shared``, the distances of each seed
        at either.
    """
    left = tune(lambda step: _left(codec, dim, step, **sizes))
    best, common = (
        min(left, key=lambda step: _or_infinite(left[step])),
        common_step(dim),
    )
    own = _runs(codec, dim, best, left[best], seeds, **sizes)
    if common == best:
        shared = own[: len(common_seeds)]
    else:
        tuned = left[common] if common in left else _left(codec, dim, common, **sizes)
        shared = _runs(codec, dim, common, tuned, common_seeds, **sizes) if common_seeds else []
    return {
        "tuning": list(left.items()),
        "best": best,
        "common": common,
        "bits": own[0]["bits"],
        "own": [run["values"] for run in own],
        "shared": [run["values"] for run in shared],
    }


def tune(left: Callable[[float], float | None]) -> dict[float, float | None]:
    """What is left of the distance by step, from the largest down until a smaller step is worse than the one before."""
    found: dict[float, float | None] = {}
    before = math.inf
    for step in STEPS:
        value = found[step] = left(step)
        if before < min(_or_infinite(value), 1):
            break
        before = _or_infinite(value)
    return found


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value


def _left(codec: str, dim: int, step: float, **sizes: int) -> float | None:
    run = distances(codec, dim, step, TUNING_ROUNDS, TUNING_SEED, **sizes)
    return None if run is None else run["values"][-1] / run["values"][0]


def _runs(
    codec: str, dim: int, step: float, left: float | None, seeds: Sequence[int], **sizes: int
) -> list[dict[str, Any]]:
    """Runs that are as long as the tuning lets expect, with a margin."""
    rounds = enough_rounds(left)
    runs = (distances(codec, dim, step, rounds, seed, **sizes) for seed in seeds)
    return [run for run in runs if run is not None]


def enough_rounds(left: float | None) -> int:
    """Rounds to the target at the rate of the tuning, times a margin; ``TUNING_ROUNDS`` where it does not converge."""
    if left is None or left >= 1:
        return TUNING_ROUNDS
    rate = math.log(max(left, 1e-12)) / TUNING_ROUNDS
    return min(MOST_ROUNDS, math.ceil(MARGIN * math.log(TARGET) / rate) + 2)


def rounds_to_target(runs: Sequence[Sequence[float]]) -> list[int]:
    """The rounds to 1 % of the first distance, of those runs that get there."""
    found = (first_at_most(values, TARGET * values[0]) for values in runs)
    return [rounds for rounds in found if rounds is not None]


def mean_curve(runs: Sequence[Sequence[float]]) -> list[float]:
    """Geometric mean over the seeds, by round: distances fall by a factor, and the mean of logarithms is a line."""
    length = min(map(len, runs))
    return [math.exp(math.fsum(math.log(max(r[t], 1e-300)) for r in runs) / len(runs)) for t in range(length)]
