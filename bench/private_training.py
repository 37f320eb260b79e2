"""Training under a privacy budget: the configuration of a run, and the search for its rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.privacy.accounting import epsilon_for, spent
from gradwire.common.training.config import RunConfig
from gradwire.deploy.in_process.run import train
from gradwire.worker.tasks import build_task

TASK = "logistic(a9a)"
BOUND = 0.1  # below nearly every gradient, so that all workers send their direction and nothing of its length
TUNING_SEED = 1000  # of the runs that choose a rate; the runs that count have the seeds 0, 1, …
FEW = 10  # rounds
GRADIENT = 0  # local steps: none, the gradient itself is sent
LOCAL_RATE = 1.0
NONE = "no privacy, clipped alike"
TOP = "private top"
RR = "cross-polytope, rr, exact epsilon"
SPECS = {
    NONE: "cross_polytope(repeats=1024, gain=bound({bound}))",
    TOP: "private_top(epsilon={epsilon!r}, bound={bound})",
    RR: "private(rr(epsilon={epsilon!r}), cross_polytope, bound={bound})",
}


@dataclass(frozen=True)
class Cell:
    """What is compared.

    Attributes:
        mechanism: a name of ``SPECS``.
        budget: epsilon of a worker's whole run.
        delta: of the whole run; 0 adds epsilons up.
        rounds: of the run, which share the budget equally.
        workers: each has one payload per round.
    """

    mechanism: str
    budget: float
    delta: float
    rounds: int
    workers: int

    @property
    def epsilon(self) -> float | None:
        """The epsilon of a payload; None without privacy."""
        return None if self.mechanism == NONE else epsilon_for(self.budget, self.rounds, self.delta)

    @property
    def schedule(self) -> str:
        """Of the rate: few rounds need large first steps; over many the noise averages better at a constant rate."""
        return "inverse_sqrt" if self.rounds <= FEW else "constant"

    def codec(self, dim: int) -> AnyCodec:
        """The codec of the run."""
        return parse(SPECS[self.mechanism].format(epsilon=self.epsilon, bound=BOUND), dim)

    def rate(self, dim: int, radius: float) -> float:
        """Theory's rate for directions with that noise: radius / (bound sqrt(rounds (1 + variance / workers)))."""
        relative = self.codec(dim).variance(BOUND) / BOUND**2
        return radius / (BOUND * math.sqrt(self.rounds * (1 + relative / self.workers)))

    def config(self, dim: int, steps: int, radius: float, seed: int) -> RunConfig:
        """A run of it.

        Args:
            dim: of the model.
            steps: local steps of each worker, ``GRADIENT`` for none.
            radius: scales the rate.
            seed: deals the rows.
        """
        local = f"local(steps={steps}, optimizer=sgd(lr={LOCAL_RATE}))" if steps else ""
        return RunConfig(
            task=TASK,
            codec=self.codec(dim).spec,
            workers=self.workers,
            rounds=self.rounds,
            optimizer=f"sgd(lr={self.rate(dim, radius)!r}, schedule={self.schedule})",
            local=local,
            evaluate_every=0,
            report_metrics=True,
            seed=seed,
        )


def final_error(config: RunConfig) -> float:
    """The share of a9a's test samples that the last model gets wrong."""
    return float(train(config).summary["metrics"]["test_error"])


def accuracy(cell: Cell, steps: Sequence[int], radii: Sequence[float], runs: int) -> dict[str, Any]:
    """The test error at the best way and rate of a grid, which one run each has chosen, if there are several.

    Args:
        cell: what is trained.
        steps: numbers of local steps that are tried.
        radii: that are tried.
        runs: with seeds of their own, after the choice.
    """
    dim = build_task(TASK, workers=cell.workers, seed=0).dim
    grid = [(s, r) for s in steps for r in radii]
    tried = (
        [
            {"steps": s, "radius": r, "error": final_error(cell.config(dim, s, r, TUNING_SEED))}
            for s, r in grid
        ]
        if len(grid) > 1
        else []
    )
    best = min(tried, key=lambda one: float(one["error"]), default=None)
    step, radius = (int(best["steps"]), best["radius"]) if best else grid[0]
    errors = [final_error(cell.config(dim, step, radius, seed)) for seed in range(runs)]
    codec, epsilon = cell.codec(dim), cell.epsilon
    return {
        "codec": codec.spec,
        "bits": codec.nbits,
        "epsilon": epsilon,
        "spent": spent(epsilon, cell.rounds, cell.delta) if epsilon is not None else None,
        "variance": codec.variance(BOUND) / BOUND**2,
        "tried": tried,
        "steps": step,
        "radius": radius,
        "rate": cell.rate(dim, radius),
        "errors": errors,
        "error": fmean(errors),
        "deviation": stdev(errors) if len(errors) > 1 else None,
    }
