"""When worker 0's process evaluates, and what it reports."""

from typing import Any

import numpy as np
import pytest

from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.worker.reports import Reports
from gradwire.worker.tasks import build_task

TASK = "least_squares(samples=8, dim=3)"


def model(round_: int) -> Model:
    made = Model(np.ones(3, np.float32), parse_optimizer("sgd"))
    made.round = round_
    return made


def evaluated(reports: Reports, rounds: range) -> list[int]:
    done = []
    for round_ in rounds:
        if reports.is_due(round_):
            reports.evaluate(model(round_))
            done.append(round_)
    return done


@pytest.mark.parametrize(
    ("every", "rounds"), [(1, [0, 1, 2, 3, 4, 5, 6]), (3, [0, 3, 6]), (10, [0]), (0, [])]
)
def test_due_rounds(every: int, rounds: list[int]) -> None:
    assert evaluated(Reports(build_task(TASK, workers=1, seed=0), every), range(7)) == rounds


def test_skipped_multiple_is_evaluated_at_the_next_round() -> None:
    reports = Reports(build_task(TASK, workers=1, seed=0), 3)
    assert evaluated(reports, range(2)) == [0]
    assert evaluated(reports, range(5, 9)) == [5, 6]


def test_replica_that_caught_up_evaluates_at_the_next_multiple() -> None:
    reports = Reports(build_task(TASK, workers=1, seed=0), 3)
    reports.skip_to(5)
    assert evaluated(reports, range(5, 9)) == [6]
    reports.skip_to(2)  # never back
    assert evaluated(reports, range(7, 9)) == []


def test_report_is_kept_until_the_next() -> None:
    reports = Reports(build_task(TASK, workers=1, seed=0), 3)
    assert reports.last is None
    report = reports.evaluate(model(3))
    assert report is not None and report is reports.last and report.round == 3
    assert {metric.name for metric in report.metrics} == {"distance", "objective"}


def test_task_without_measures_reports_nothing() -> None:
    task: Any = build_task("synthetic(3)", workers=1, seed=0)
    reports = Reports(task, 2)
    assert reports.evaluate(model(0)) is None and reports.last is None
    assert not reports.is_due(1) and reports.is_due(2)
