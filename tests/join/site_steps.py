"""The steps of a site, which a test and a program that takes part make alike."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 5


def steps(site: int) -> Iterator[tuple[NDArray[np.float32], int]]:
    """What each step subtracts from the model, and the examples that it was computed from."""
    numbers = np.random.default_rng(site)
    while True:
        yield numbers.standard_normal(SIZE).astype(np.float32), int(numbers.integers(1, 9))


def mean_model(sites: int, rounds: int, *, weighted: bool) -> NDArray[np.float32]:
    """The model after so many rounds, in which site ``s`` makes ``s + 1`` steps between two exchanges."""
    model = np.zeros(SIZE, np.float32)
    running: list[Any] = [steps(site) for site in range(sites)]
    for _round in range(rounds):
        total, weights = np.zeros(SIZE), 0
        for site in range(sites):
            local, examples = model.copy(), 0
            for _step in range(site + 1):
                step, count = next(running[site])
                local -= step
                examples += count
            weight = examples if weighted else 1
            total += np.float64(weight) * (model - local).astype(np.float64)
            weights += weight
        model = model - (total / weights).astype(np.float32)
    return model
