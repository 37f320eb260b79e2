"""Figures 2 and 3: the law of the first round is exact, the tuning finds a best step, the documents are complete."""

from typing import Any

import numpy as np
import pytest

from gradwire.bench.papers import least_squares
from gradwire.bench.papers.experiment import Measured, find
from gradwire.bench.papers.least_squares import (
    STEPS,
    common_step,
    enough_rounds,
    measure,
    predicted_best_step,
    predicted_factor,
    rounds_to_target,
    tune,
)
from gradwire.bench.papers.least_squares_report import law_rounds, merged, ratio
from gradwire.common.codecs import parse
from gradwire.deploy.report.document import Chart, Document, Table

SMALL = {"samples": 64, "workers": 8}


def test_the_law_of_the_first_round() -> None:
    """Over matrices of Gaussian entries, with the codec's own variance: within 5 standard errors of 4,000 draws."""
    dim, n, workers, step, draws = 6, 24, 4, 0.2, 4_000
    codec, rng = parse("cross_polytope(repeats=2)", dim), np.random.default_rng(7)
    error = np.ones(dim)
    found = np.empty(draws)
    for k in range(draws):
        a = rng.standard_normal((workers, n // workers, dim))
        gradients = np.einsum("wmd,wm->wd", a, a @ error) / (n // workers)
        left = error - step * gradients.mean(axis=0)
        # The variance of independent unbiased estimates, exactly.
        noise = sum(codec.variance_at(g) for g in gradients) / workers**2
        found[k] = left @ left + step**2 * noise
    found /= error @ error
    expected = predicted_factor(dim, (dim - 1) / 2, step, samples=n, workers=workers)
    assert abs(found.mean() - expected) < 5 * found.std() / np.sqrt(draws)


def test_the_best_step_of_the_law() -> None:
    best = predicted_best_step(200, 199.0, samples=10_000, workers=500)
    factors = [predicted_factor(200, 199.0, best * f, samples=10_000, workers=500) for f in (0.9, 1.0, 1.1)]
    assert min(factors) == factors[1] == pytest.approx(1 - best)
    assert [common_step(d) for d in (100, 200, 500)] == [0.5, 0.125, 0.03125]
    assert law_rounds(0.01) == 2 and law_rounds(0.1) == 4


def test_tuning_stops_after_the_best_step() -> None:
    left = {1.0: None, 0.5: 3.0, 0.25: 0.4, 0.125: 0.2, 0.0625: 0.6, 0.03125: 0.8}
    assert list(tune(left.__getitem__)) == list(STEPS[:5])
    assert list(tune(lambda step: 2.0)) == list(STEPS)


def test_rounds_are_enough_and_counted() -> None:
    assert enough_rounds(None) == enough_rounds(1.5) == least_squares.TUNING_ROUNDS
    assert enough_rounds(0.1) == 38 and enough_rounds(1 - 1e-9) == least_squares.MOST_ROUNDS
    assert rounds_to_target([[1.0, 0.5, 0.01], [1.0, 0.9, 0.8]]) == [2]
    assert ratio(None, 1.0) == "— ×"


def test_a_small_measurement() -> None:
    found = measure("cross_polytope(repeats=4)", 4, [0, 1], [0], **SMALL)
    assert dict(found["tuning"])[found["best"]] == min(v for _, v in found["tuning"] if v is not None)
    assert len(found["own"]) == 2 and len(found["shared"]) == 1
    assert found["bits"] == 32 + 4 * 3
    assert len(rounds_to_target(found["own"])) == 2
    assert found == measure("cross_polytope(repeats=4)", 4, [0, 1], [0], **SMALL)


@pytest.mark.parametrize("name", ["vqsgd-figure-2", "vqsgd-figure-3"])
@pytest.mark.parametrize("full", [False, True])
def test_the_document_is_complete(name: str, full: bool) -> None:
    experiment = find(name)
    cases = experiment.cases(full=full)
    results = [Measured(case, _result(case, rank)) for rank, case in enumerate(cases)]
    document = experiment.document(results, full=full)
    assert Document.from_json(document.to_json()) == Document.from_json(document.to_json())
    text = document.about + " ".join(p for s in document.sections for p in s.parts if isinstance(p, str))
    assert "nan" not in text and "None" not in text
    parts = [part for section in document.sections for part in section.parts]
    charts = [part for part in parts if isinstance(part, Chart)]
    assert len(charts) >= 3 and all(
        len(chart.series) == 4 for chart in charts if "step for all" not in chart.title
    )
    table = next(part for part in parts if isinstance(part, Table))
    assert len(table.rows) == 4 and all(row[3] is not None for row in table.rows)


def test_seeds_of_several_cases_come_together() -> None:
    cases = [case for case in find("vqsgd-figure-2").cases(full=True) if case["dim"] == 500]
    assert sorted(s for case in cases if case["scheme"] == "QSGD" for s in case["seeds"]) == list(range(10))
    rows = merged([Measured(case, _result(case, 0)) for case in cases], lambda params: params["scheme"])
    assert len(rows["QSGD"].own) == 10 and len(rows["QSGD"].shared) == 1


def _result(case: Any, rank: int) -> dict[str, Any]:
    run = [10 * (0.7 - 0.01 * (rank % 8)) ** t for t in range(40)]
    tuning = [[1.0, None], [0.5, 0.2], [0.25, 0.3]]
    own, shared = [run] * len(case["seeds"]), [run] * len(case["common"])
    return {"tuning": tuning, "best": 0.5, "common": 0.125, "bits": 40.0 + rank, "own": own, "shared": shared}
