"""``bytes-to-accuracy``: the best rate is chosen by rounds, then by accuracy; bytes follow from the rounds."""

import pytest

from gradwire.bench.papers.experiment import Measured
from gradwire.bench.papers.experiments.bytes_to_accuracy import SCHEMES, BytesToAccuracy
from gradwire.deploy.report.document import Chart, Table


def result(scheme: str, lr: float, accuracy: list[float], each: float = 100.0, seed: int = 0) -> Measured:
    points = [[10 * i, a] for i, a in enumerate(accuracy)]
    return Measured({"scheme": scheme, "lr": lr, "seed": seed}, {"bytes_per_round": each, "accuracy": points})


def test_the_table_and_the_chart_have_each_schemes_best_rate() -> None:
    results = [
        result(SCHEMES[0].title, 1.0, [0.1, 0.9, 0.96, 0.971], each=1000.0),  # 30 rounds
        result(SCHEMES[0].title, 0.5, [0.1, 0.9, 0.95, 0.96]),
        *(result(s.title, 0.4, [0.1, 0.97, 0.98]) for s in SCHEMES[1:-1]),
        result(SCHEMES[-1].title, 0.4, [0.1, 0.5]),
        result(SCHEMES[-1].title, 0.2, [0.1, 0.6]),
    ]
    (section,) = BytesToAccuracy().document(results, full=False).sections
    chart, table = section.parts
    assert isinstance(chart, Chart) and isinstance(table, Table)
    assert next(s.x for s in chart.series) == [10_000.0, 20_000.0, 30_000.0]
    first, second, *_, last = table.rows
    assert (first[2], first[4], first[6]) == (1.0, 30.0, 1.0)
    assert second[4] == 10 and second[6] == pytest.approx(30.0)
    assert (last[2], last[4], last[6], last[7]) == (0.2, None, None, 0.6)


def test_seeds_are_averaged_and_all_must_reach_the_target() -> None:
    others = [result(s.title, 0.4, [0.1, 0.97]) for s in SCHEMES[1:]]
    runs = [
        result(SCHEMES[0].title, 1.0, [0.1, 0.97], seed=0),
        result(SCHEMES[0].title, 1.0, [0.1, 0.5, 0.97], seed=1),
    ]
    (section,) = BytesToAccuracy().document([*runs, *others], full=True).sections
    table = section.parts[1]
    assert isinstance(table, Table) and table.rows[0][4] == 15.0
    missed = [runs[0], result(SCHEMES[0].title, 1.0, [0.1, 0.5], seed=1)]
    (section,) = BytesToAccuracy().document([*missed, *others], full=True).sections
    table = section.parts[1]
    assert isinstance(table, Table) and table.rows[0][4] is None
