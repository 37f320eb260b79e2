"""All ways in which a small run may settle who takes part."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from hypothesis import strategies as st

from gradwire.common.errors import ConfigError
from gradwire.common.training.config import RunConfig
from gradwire.server.rounds.drawing import Draw


def draw_of(config: RunConfig) -> Draw | None:
    """How the server draws the rounds of a run."""
    return Draw(config.seed, config.cohort, config.least) if config.changing else None


def every_config(workers: int, rounds: int) -> Iterator[RunConfig]:
    """Every cohort, MIN and quorum that a run of so many workers may have."""
    for cohort, least, quorum in product(range(workers + 1), range(workers), range(workers + 1)):
        try:
            yield RunConfig(
                task="synthetic(dim=3)",
                workers=workers,
                rounds=rounds,
                cohort=cohort,
                min_workers=least,
                quorum=quorum,
                deadline=1.0,
                seed=7,
            )
        except ConfigError:
            continue


def configs(workers: int, rounds: int) -> st.SearchStrategy[Any]:
    """One of them; those with all workers in every round are drawn as often as all others."""
    every = list(every_config(workers, rounds))
    plain, changing = ([c for c in every if c.changing is changing] for changing in (False, True))
    return st.sampled_from(plain) | st.sampled_from(changing)
