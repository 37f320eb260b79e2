"""When a process evaluates, and what it reports."""

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


def test_only_multiples_are_evaluated_so_that_sites_evaluate_the_same_rounds() -> None:
    reports = Reports(build_task(TASK, workers=1, seed=0), 3)
    assert evaluated(reports, range(2)) == [0]
    assert evaluated(reports, range(4, 9)) == [6]


def test_process_that_is_behind_leaves_out_what_the_next_evaluation_replaces() -> None:
    reports = Reports(build_task(TASK, workers=1, seed=0), 3)
    assert reports.is_due(3, newest=5) and not reports.is_due(3, newest=6)
    assert reports.is_due(6, newest=6)


def test_rounds_that_the_servers_model_replaced_are_evaluated_again() -> None:
    reports = Reports(build_task(TASK, workers=1, seed=0), 3)
    reports.evaluate(model(6))
    reports.restored(6)
    assert reports.last is None and reports.is_due(6)
    reports.evaluate(model(6))
    reports.restored(8)
    assert reports.last is not None and not reports.is_due(6)


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


@pytest.mark.parametrize(("own", "task", "evaluates"), [
    (True, TASK, True), (False, TASK, False), (True, "synthetic(3)", False),
])  # fmt: skip
def test_process_evaluates_for_itself_on_held_out_data_of_its_own(
    own: bool, task: str, evaluates: bool
) -> None:
    reports = Reports(build_task(task, workers=1, seed=0), 3, own=own)
    assert reports.evaluates is reports.wanted is evaluates
    reports.named = True
    assert reports.wanted and reports.evaluates is evaluates


def test_report_has_the_number_of_held_out_samples_where_it_may() -> None:
    counted, silent = (Reports(build_task(TASK, workers=1, seed=0), 3, counted=c) for c in (True, False))
    first, second = counted.evaluate(model(0)), silent.evaluate(model(0))
    assert first is not None and first.examples == 8
    assert second is not None and second.examples == 0 and second.metrics == first.metrics
