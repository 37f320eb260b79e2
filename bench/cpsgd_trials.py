"""How much binomial noise cpSGD needs for an epsilon."""

from __future__ import annotations

import math
from dataclasses import replace

from gradwire.common.codecs import parse
from gradwire.common.codecs.baselines.cpsgd import CpSGD

MOST_TRIALS = 1 << 18  # a payload takes that many coins per coordinate


def least_noise(dim: int, epsilon: float, delta: float, workers: int) -> CpSGD | None:
    """The codec with the least stated variance whose sum over ``workers`` payloads is (epsilon, delta)-private.

    Levels are 2, 3, 5, 9, …, 2^15 + 1; to each the fewest trials that [cpSGD] Theorem 1 allows, at most 2^18.

    Args:
        dim: coordinates.
        epsilon: of the sum of a round.
        delta: of the sum of a round.
        workers: payloads that are added up before anybody sees them; 1 is local privacy.

    Returns:
        None where no number of levels has a codec.
    """
    found = [codec for j in range(16) if (codec := _fewest(dim, (1 << j) + 1, epsilon, delta, workers))]
    return min(found, key=lambda codec: codec.variance(), default=None)


def _fewest(dim: int, levels: int, epsilon: float, delta: float, workers: int) -> CpSGD | None:
    codec = parse(f"cpsgd(levels={levels})", dim)
    assert isinstance(codec, CpSGD)

    def enough(trials: int) -> bool:
        return replace(codec, trials=trials).central_epsilon(delta, workers) <= epsilon

    if not enough(MOST_TRIALS):
        return None
    low, high = 1, MOST_TRIALS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return replace(codec, trials=low)


def measured_payloads(codec: CpSGD, coins: float) -> int:
    """How many payloads that many coins pay for, at most 200; 0 where it is fewer than two."""
    count = min(200, math.floor(coins / (codec.trials * codec.dim)))
    return count if count >= 2 else 0
