"""vqSGD's tables: what is measured agrees with exact laws, and every row, and each erratum, is shown."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gradwire.bench.papers.experiment import Experiment, Measured
from gradwire.bench.papers.experiments import vqsgd_table_1_efficiency as efficiency
from gradwire.bench.papers.experiments.vqsgd_section_7_bits import (
    PRINTED,
    VqsgdSection7Bits,
    expected_nonzeros,
)
from gradwire.bench.papers.experiments.vqsgd_table_1 import VqsgdTable1
from gradwire.bench.papers.experiments.vqsgd_table_1_efficiency import VqsgdTable1Efficiency
from gradwire.bench.papers.experiments.vqsgd_table_2 import VqsgdTable2
from gradwire.bench.papers.experiments.vqsgd_table_3 import DELTA, EPSILON, LEVELS, VqsgdTable3, fewest_trials
from gradwire.bench.papers.experiments.vqsgd_theorem_3 import (
    COUNTS,
    VqsgdTheorem3,
    errors_of_means,
    round_errors,
    slope,
    workers_gradients,
)
from gradwire.bench.papers.point_sets import POINT_SETS, SMALL, PointSet
from gradwire.bench.papers.sampling import adversaries, enumerated_epsilon, sampled_errors, unit_vector
from gradwire.common.codecs import parse
from gradwire.common.codecs.baselines.cpsgd import CpSGD
from gradwire.deploy.report.document import Chart, Document, Table

ABOUT_ONE_IN_A_MILLION = 5.0  # standard errors


def result_of(experiment: Experiment, **params: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(experiment.measure(**params)))


def tables(document: Document) -> list[Table]:
    assert Document.from_json(json.loads(json.dumps(document.to_json()))).title == document.title
    return [part for section in document.sections for part in section.parts if isinstance(part, Table)]


def charts(document: Document) -> list[Chart]:
    return [part for section in document.sections for part in section.parts if isinstance(part, Chart)]


def from_small(experiment: Experiment, key: str, samples: int = 20) -> list[Measured]:
    """All quick cases, each with the result of the same row at its smallest dimension."""
    cases = experiment.cases(full=False)
    smallest: dict[Any, Any] = {}
    for case in sorted(cases, key=lambda c: c["dim"]):
        row = case[key], case.get("s")
        if row not in smallest:
            smallest[row] = result_of(experiment, **{**case, "samples": samples})
    return [Measured(case, smallest[case[key], case.get("s")]) for case in cases]


@pytest.mark.parametrize("row", POINT_SETS, ids=lambda row: row.title)
def test_sampled_errors_are_the_exact_ones(row: PointSet) -> None:
    x = unit_vector(SMALL)
    codec = parse(row.codec, SMALL)
    errors = sampled_errors(codec, x, 400)
    # Payloads have one error each where all vertices are equally near: then rounding is all that is left.
    assert abs(errors.mean - codec.variance_at(x)) <= ABOUT_ONE_IN_A_MILLION * errors.deviation + 1e-6
    assert errors.payload_bits == 8 * codec.nbytes


ENUMERATED = [(row, dim) for row in POINT_SETS if row.epsilon for dim in (SMALL, 7) if dim <= row.enumerable]


@pytest.mark.parametrize(("row", "dim"), ENUMERATED, ids=lambda value: getattr(value, "title", str(value)))
def test_enumerated_payloads_attain_the_stated_epsilon(row: PointSet, dim: int) -> None:
    codec = parse(row.codec, dim)
    found = enumerated_epsilon(codec, adversaries(dim))
    assert found == pytest.approx(codec.epsilon, rel=1e-8)


def test_the_hadamard_set_refutes_the_printed_epsilon() -> None:
    found = enumerated_epsilon(parse("hadamard(gain=bound(1.0))", 7), adversaries(7))
    assert found == pytest.approx(math.log(3), rel=1e-8)
    (row,) = (r for r in POINT_SETS if r.title == "Hadamard")
    assert row.epsilon is not None and found > row.epsilon(7)


def test_table_1_is_complete() -> None:
    document = VqsgdTable1().document(from_small(VqsgdTable1(), "scheme"), full=False)
    *by_dim, reasons = tables(document)
    assert [row[0] for row in by_dim[0].rows] == [row.title for row in POINT_SETS]
    assert {row[0] for row in reasons.rows} == {"V1", "V2", "V3", "V4", "V5", "V6", "V7", "V10", "V11"}
    (chart,) = charts(document)
    assert (
        chart.log_x and chart.log_y and len(chart.series) == len(POINT_SETS) - 1
    )  # the net has one dimension


def test_table_2_is_complete() -> None:
    document = VqsgdTable2().document(from_small(VqsgdTable2(), "method", 5), full=False)
    *by_dim, reasons = tables(document)
    assert [table.title for table in by_dim] == ["d = 32", "d = 128", "d = 1,024", "d = 65,536"]
    assert len({row[0] for row in reasons.rows}) == 6 and len(charts(document)) == 3
    for table in by_dim[:2]:
        for row in table.rows:
            assert row[6] > row[10], "no unbiased quantizer is below the bound"  # type: ignore[operator]


def test_table_3_is_complete() -> None:
    document = VqsgdTable3().document(from_small(VqsgdTable3(), "method", 5), full=False)
    *by_dim, reasons = tables(document)
    assert len(by_dim) == 3 and all(len(table.rows) == 7 for table in by_dim)
    assert len(reasons.rows) == 5 and len(charts(document)) == 1


def test_cpsgd_has_no_more_trials_than_its_epsilon_needs() -> None:
    def epsilon(trials: int) -> float:
        codec = parse(f"cpsgd(levels={LEVELS}, trials={trials})", 64)
        assert isinstance(codec, CpSGD)
        return codec.central_epsilon(DELTA, 1000)

    trials = fewest_trials(64, 1000)
    assert epsilon(trials) <= EPSILON < epsilon(trials // 2)


# ---- [V] Theorem 3 -----------------------------------------------------------------------------------------------


def spread(codec: str, correlation: float, *, shared: bool) -> list[float]:
    x = workers_gradients(correlation, 100, 64)
    return errors_of_means(round_errors(parse(codec, 64), x, shared, 0), (1, 10, 100))


@pytest.mark.parametrize("codec", ["cross_polytope(repeats=3)", "l1_systematic(3)", "top_signs(3)"])
def test_equal_gradients_with_one_seed_have_one_error(codec: str) -> None:
    one, ten, hundred = spread(codec, 1.0, shared=True)
    assert ten == pytest.approx(one, rel=1e-9) and hundred == pytest.approx(one, rel=1e-9)


@pytest.mark.parametrize("codec", ["cross_polytope(repeats=3)", "l1_systematic(3)", "top_signs(3)"])
def test_own_randomness_has_the_law(codec: str) -> None:
    one, ten, hundred = spread(codec, 1.0, shared=False)
    # The seeds are fixed; a mean of 100 is that of one group, so it is near the law and not on it.
    assert 1 / 2 < one / (10 * ten) < 2 and 1 / 2 < one / (100 * hundred) < 2


def test_means_of_groups_and_slopes_are_exact() -> None:
    errors = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, -1.0]])
    assert errors_of_means(errors, (1, 2, 4)) == pytest.approx([1.0, 0.5, 0.25])
    assert slope(COUNTS, [3 / n for n in COUNTS]) == pytest.approx(-1.0)
    assert slope(COUNTS, [3.0 for _ in COUNTS]) == pytest.approx(0.0)


def test_theorem_3_is_complete() -> None:
    cases = VqsgdTheorem3().cases(full=False)
    law = {"mean": [2 / n for n in COUNTS], "deviation": [0.1] * len(COUNTS), "stated": 2.0}
    document = VqsgdTheorem3().document([Measured(case, law) for case in cases], full=False)
    (table,) = tables(document)
    assert len(table.rows) == len(cases) and all(row[-1] == pytest.approx(-1.0) for row in table.rows)
    assert [len(chart.series) for chart in charts(document)] == [7, 7, 7]


# ---- times and training runs ---------------------------------------------------------------------------------


def test_encoders_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficiency, "REPEATS", 1)
    experiment = VqsgdTable1Efficiency()
    assert experiment.alone and not experiment.repeatable
    cases: Sequence[Any] = experiment.cases(full=False)
    results: dict[str, Any] = {}
    for case in cases[::-1]:
        if case["scheme"] not in results:
            results[case["scheme"]] = result_of(experiment, **{**case, "dim": min(case["dim"], 64)})
    assert all(timing["ms"] > 0 and timing["copies"] > 0 for timing in results.values())
    document = experiment.document([Measured(case, results[case["scheme"]]) for case in cases], full=False)
    growth = tables(document)[1]
    assert all(row[1] == pytest.approx(0.0, abs=1e-9) for row in growth.rows)
    assert efficiency.exponent([1, 10, 100], [3, 30, 300]) == pytest.approx(1.0)


def test_a_run_of_qsgd_has_its_mean_length() -> None:
    params = {"data": "digits", "levels": 1, "lr": 0.1, "batch": 0, "rounds": 3, "workers": 4, "drawn": 2}
    result = result_of(VqsgdSection7Bits(), **params)
    again = result_of(VqsgdSection7Bits(), **params)
    assert result == again
    payloads = result["payloads"]
    assert 32 < result["bits"] < 4 * result["dim"]
    assert payloads["1, omega"] < payloads["2, omega"] < payloads["4, omega"] < payloads["16, omega"]
    assert all(1 <= nonzeros <= math.sqrt(result["dim"]) for nonzeros in result["nonzeros"])
    assert all(0 <= zeros < 1 for zeros in result["zeros"])
    assert expected_nonzeros(np.ones(16, np.float32)) == pytest.approx(4.0)
    assert expected_nonzeros(np.zeros(16, np.float32)) is None
    cases = VqsgdSection7Bits().cases(full=True)
    document = VqsgdSection7Bits().document([Measured(case, result) for case in cases], full=True)
    lengths, first = tables(document)
    assert len(lengths.rows) == len(cases) and {row[0] for row in first.rows} == set(PRINTED)
