"""``vqsgd-table-4``: logistic regression on a5a, a9a, splice, and mnist49 in gisette's place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.papers.logistic import (
    DME,
    FLOAT32,
    MEANT,
    NONE,
    OWN_N,
    PRINTED,
    QSGD,
    SCALED,
    VQSGD,
    measure,
)
from gradwire.bench.papers.table_4_report import (
    PAPER,
    about,
    by_round,
    differences,
    error_table,
    grid_table,
    group,
    oscillation_table,
    penalty_table,
    scaling,
)
from gradwire.deploy.report.document import Document, Section

STEPS = {"a9a": (1.0, 0.3), "mnist49": (1e-3, 3e-4, 1e-4), "a5a": (1.0, 0.3), "splice": (0.01, 0.003)}
QUICK = {"a9a": (100, 2), "mnist49": (40, 1), "a5a": (150, 2), "splice": (200, 3)}  # rounds, seeds
FULL = {"a9a": (1000, 20), "mnist49": (500, 20), "a5a": (1000, 20), "splice": (1000, 20)}
SEEDS_PER_CASE = 5
LARGE_STEPS, LARGE_ROUNDS = (0.03, 0.1), 50  # splice, where exact gradient descent oscillates
SCALED_STEPS = (0.3, 0.1)


@register
class Table4(Experiment):
    """Test errors beside the printed ones, and what explains the differences."""

    name = "vqsgd-table-4"
    title = "Logistic regression at 20 workers: test error of DME, QSGD and vqSGD"
    source = "[V] Table 4"

    def cases(self, *, full: bool) -> Sequence[Params]:
        plan = FULL if full else QUICK
        cases: list[dict[str, Any]] = []
        for data, steps in STEPS.items():
            rounds, seeds = plan[data]
            cases += _cases(data, MEANT, steps, rounds, seeds)
        rounds, seeds = plan["splice"]
        cases += _cases("splice", SCALED, SCALED_STEPS, rounds, seeds)
        cases += _cases("splice", MEANT, LARGE_STEPS, LARGE_ROUNDS, seeds)
        for data in ("a9a", "a5a", "splice"):
            for variant in (PRINTED, OWN_N, NONE):
                cases.append(_case(data, FLOAT32, variant, STEPS[data][0], plan[data][0], [0]))
        return cases

    def measure(
        self, *, data: str, scheme: str, variant: str, step: float, rounds: int, seeds: list[int]
    ) -> Any:
        return measure(data, scheme, variant, step, rounds, seeds)

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        main = {data: group(results, data, MEANT, STEPS[data]) for data in STEPS}
        scaled = group(results, "splice", SCALED, SCALED_STEPS)
        large = group(results, "splice", MEANT, LARGE_STEPS)
        return Document(
            self.title,
            about(main),
            [
                Section("Errors", [error_table(main, scaled), *differences(main, large)]),
                Section("By round", [by_round(data, main[data]) for data in PAPER]),
                Section(
                    "Splice at steps that are too large",
                    [
                        oscillation_table(large),
                        scaling(main["splice"], scaled),
                        grid_table("splice, columns scaled", scaled),
                    ],
                ),
                Section("The regulariser of equation 29", [_REGULARISER, penalty_table(results, STEPS)]),
                Section(
                    "Steps and rounds",
                    [_ROUNDS, *(grid_table(data, main[data]) for data in PAPER)],
                ),
            ],
        )


def _cases(
    data: str, variant: str, steps: Sequence[float], rounds: int, seeds: int
) -> Iterator[dict[str, Any]]:
    """All schemes at all steps, a few seeds in each case; float32 draws no coins, and one seed is enough."""
    for scheme in (DME, QSGD, VQSGD, FLOAT32):
        for step in steps:
            own = list(range(1 if scheme == FLOAT32 else seeds))
            for start in range(0, len(own), SEEDS_PER_CASE):
                yield _case(data, scheme, variant, step, rounds, own[start : start + SEEDS_PER_CASE])


def _case(data: str, scheme: str, variant: str, step: float, rounds: int, seeds: list[int]) -> dict[str, Any]:
    names = {"data": data, "scheme": scheme, "variant": variant}
    return {**names, "step": step, "rounds": rounds, "seeds": seeds}


_REGULARISER = (
    "Equation 29 is printed without one closing parenthesis. With it after the exponential, as meant, |θ|²/2n is "
    "added to the mean; with it at the end, as printed, |θ|²/2n is inside each logarithm. In a worker's own equation "
    "n would be the rows of the worker, and |θ|² would count 20 times as much. Exact gradient descent shows what "
    "each is worth:"
)
_ROUNDS = (
    "The paper gives neither rounds nor steps. Steps are constant; each scheme's best on its grid, by the mean error "
    "after the last round, is shown. A seed deals the rows to the workers anew and draws the coins."
)
