"""``privacy-accuracy``: budgets, rates, how one is chosen, and the page."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gradwire.bench import private_training
from gradwire.bench.papers.accuracy_pages import least_workers
from gradwire.bench.papers.experiment import Measured, find
from gradwire.bench.private_training import BOUND, NONE, RR, TOP, TUNING_SEED, Cell, accuracy
from gradwire.common.privacy.accounting import tightest
from gradwire.common.training.config import RunConfig
from gradwire.deploy.report.document import Chart, Table


@pytest.mark.parametrize("mechanism", [TOP, RR])
@pytest.mark.parametrize("rounds", [4, 100])
def test_a_run_costs_its_budget(mechanism: str, rounds: int) -> None:
    cell = Cell(mechanism, 8.0, 1e-5, rounds, 20)
    codec, each = cell.codec(123), cell.epsilon
    assert each is not None and codec.epsilon == each
    assert 7.99 <= tightest(codec.epsilon, rounds, 1e-5) <= 8.0
    added_up = Cell(mechanism, 8.0, 0.0, rounds, 20)
    assert added_up.epsilon == 8.0 / rounds


def test_the_rate_is_theory_s() -> None:
    cell = Cell(TOP, 8.0, 0.0, 4, 20)
    relative = cell.codec(123).variance(BOUND) / BOUND**2
    assert cell.rate(123, 2.0) == pytest.approx(2.0 / (BOUND * math.sqrt(4 * (1 + relative / 20))))


def test_the_runs_that_count_are_not_those_that_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way with the least error is taken, and its tuning run is not counted."""
    seen: list[RunConfig] = []

    def error(config: RunConfig) -> float:
        seen.append(config)
        return {(0, False): 0.3, (0, True): 0.2, (1, False): 0.9, (1, True): 0.25}[
            config.seed != TUNING_SEED, "steps=3" in config.local
        ]

    monkeypatch.setattr(private_training, "TASK", "softmax(digits)")
    monkeypatch.setattr(private_training, "final_error", error)
    found = accuracy(Cell(TOP, 8.0, 0.0, 4, 3), [0, 3], [2.0, 4.0], 2)
    assert [config.seed for config in seen] == [TUNING_SEED] * 4 + [0, 1]
    assert (found["steps"], found["radius"]) == (3, 2.0)
    assert found["errors"] == [0.25, 0.25] and found["error"] == 0.25 and found["deviation"] == 0


def test_a_real_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise costs accuracy: at a tiny budget no better than guessing, without privacy far better."""
    monkeypatch.setattr(private_training, "TASK", "softmax(digits)")
    private = accuracy(Cell(TOP, 0.5, 0.0, 3, 2), [0], [2.0], 1)
    clipped = accuracy(Cell(NONE, 0.5, 0.0, 3, 2), [3], [2.0], 1)
    assert clipped["error"] < 0.5 < private["error"]
    assert private["spent"]["pure"] == pytest.approx(0.5) and clipped["spent"] is None


def a_result(case: Any, error: float) -> Measured:
    numbers = {"codec": "…", "bits": 8, "epsilon": 2.0, "spent": {"pure": 8.0, "tightest": 8.0}}
    numbers |= {"variance": 200.0, "tried": [], "steps": 3, "radius": 4.0, "rate": 1.0}
    return Measured(case, {**numbers, "errors": [error], "error": error, "deviation": None})


@pytest.mark.parametrize("full", [False, True])
def test_the_page(full: bool) -> None:
    experiment: Any = find("privacy-accuracy")
    results = [
        a_result(case, 0.3 if case["workers"] < 1000 else 0.19) for case in experiment.cases(full=full)
    ]
    page = experiment.document(results, full=full)
    parts = [part for section in page.sections for part in section.parts]
    answer, cells = (part for part in parts if isinstance(part, Table))
    assert len(cells.rows) == len(results)
    workers = {(row[0], row[1], row[2], row[3]): row[5] for row in answer.rows}
    assert workers[8.0, 4, TOP, "tightest at delta 1e-05"] == "1,000"
    assert workers[8.0, 100, TOP, "tightest at delta 1e-05"] == ("1,000" if full else "more than 100")
    assert sum(isinstance(part, Chart) for part in parts) == 2
    assert ("--full" in parts[0]) is not full


def test_the_smallest_number_of_workers() -> None:
    rows = [{"workers": n, "error": e} for n, e in ((20, 0.21), (100, 0.2), (1000, 0.199))]
    assert least_workers(rows) == 1000 and least_workers(rows[:2]) is None
