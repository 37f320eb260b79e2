"""``privacy-accuracy``: the test error that a privacy budget leaves on a9a, by the number of workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradwire.bench.papers.accuracy_pages import CONSTANT, GOAL, chart, finding, how, smallest, table
from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.private_training import NONE, RR, TOP, Cell, accuracy
from gradwire.deploy.report.document import Document, Section

BUDGETS = (8.0, 2.0)
DELTA = 1e-5
WORKERS = (20, 100, 1000, 10_000)
ROUNDS = (4, 100)
FEW_PAYLOADS = 4_000  # of a run whose rate is searched in the quick scale


@register
class PrivacyAccuracy(Experiment):
    """Runs of the whole budget, in process, with the rate that does best."""

    name = "privacy-accuracy"
    title = f"How many workers a privacy budget needs for a test error below {GOAL} on a9a"
    source = "[V] section 6; theory 6"
    repeatable = False  # private codecs take coins from the operating system

    def cases(self, *, full: bool) -> Sequence[Params]:
        cells = [
            self._case(mechanism, budget, delta, rounds, workers, full=full)
            for mechanism, delta in ((TOP, DELTA), (TOP, 0.0), (RR, DELTA))
            for budget in BUDGETS
            for rounds in ROUNDS
            for workers in WORKERS
            if _is_measured(mechanism, delta, rounds, workers, full=full)
        ]
        cells += [self._case(NONE, BUDGETS[0], DELTA, rounds, WORKERS[0], full=full) for rounds in ROUNDS]
        return sorted(cells, key=lambda case: -int(case["workers"]) * int(case["rounds"]))

    def _case(
        self, mechanism: str, budget: float, delta: float, rounds: int, workers: int, *, full: bool
    ) -> dict[str, Any]:
        steps, radii, runs = _grid(workers, rounds) if full else ([0, 3], [2.0, 4.0], 3)
        if not full and workers * rounds > FEW_PAYLOADS:
            radii = [4.0]
        return {
            "mechanism": mechanism, "budget": budget, "delta": delta, "rounds": rounds, "workers": workers,
            "steps": steps, "radii": radii, "runs": runs,
        }  # fmt: skip

    def measure(
        self,
        *,
        mechanism: str,
        budget: float,
        delta: float,
        rounds: int,
        workers: int,
        steps: list[int],
        radii: list[float],
        runs: int,
    ) -> Any:
        return accuracy(Cell(mechanism, budget, delta, rounds, workers), steps, radii, runs)

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        rows = [{**each.params, **each.result} for each in results]
        rows.sort(key=lambda row: (-row["budget"], row["mechanism"] != TOP, row["rounds"], row["workers"]))
        charts = [chart(rows, budget) for budget in BUDGETS]
        return Document(
            self.title,
            "Logistic regression on a9a (123 features, 32,561 training rows dealt evenly, 16,281 test "
            f"rows). Always answering the larger class errs on {CONSTANT} of the test rows. The budget is "
            "that of a worker for the whole run; every payload is randomised at the worker, and the server "
            "is not trusted.",
            [
                Section("What it says", [*finding(rows, full=full), smallest(rows)]),
                Section("Error by the number of workers", charts),
                Section("All runs", [table(rows)]),
                Section("How it was measured", how(full=full)),
            ],
        )


def _grid(workers: int, rounds: int) -> tuple[list[int], list[float], int]:
    """Local steps and radii that are tried, and runs that count; a million payloads take half an hour.

    Workers with three rows send directions that differ much and cancel: their mean is short, and the radius large.
    """
    large = workers >= 10_000
    radii = [8.0, 16.0, 32.0] if large else [2.0, 4.0, 8.0]
    if workers * rounds < 100_000:
        return [0, 3, 10], radii, 5
    return ([3], [8.0], 2) if large else ([0, 3], [2.0, 4.0], 3)


def _is_measured(mechanism: str, delta: float, rounds: int, workers: int, *, full: bool) -> bool:
    """Whether it is new and fits: a payload takes about 1.5 ms, its gradient, message and fold included."""
    payloads = workers * rounds
    if delta == 0:  # adding up four epsilons is the tightest already
        return full and rounds > 4 and payloads <= 100_000
    return full or payloads <= (FEW_PAYLOADS if mechanism == RR else 10_000)
