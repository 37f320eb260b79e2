"""``privacy-error``: rows against formulas that do not share the codecs' code, cpSGD's noise, and the page."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from gradwire.bench import cpsgd_trials
from gradwire.bench.cpsgd_trials import least_noise, measured_payloads
from gradwire.bench.papers.experiment import Measured, find
from gradwire.bench.papers.experiments.privacy_error import CPSGD, EPSILONS, WORKERS, mechanism_row
from gradwire.bench.papers.privacy_pages import TOP, TOP_REPORTS
from gradwire.bench.private_rows import BY_TITLE, CHOSEN, FIXED
from gradwire.bench.private_schemes import privunit
from gradwire.common.codecs import parse
from gradwire.deploy.report.document import Chart, Document, Table


@pytest.mark.parametrize("mechanism", [*CHOSEN, *FIXED], ids=lambda mechanism: mechanism.title)
@pytest.mark.parametrize("dim", [128, 65_536])
def test_rows(mechanism: Any, dim: int) -> None:
    """Stated and computed variances agree, a payload has at most the epsilon that was asked for."""
    epsilon = mechanism.own(dim) if mechanism.own else 1.0
    row = mechanism_row(mechanism, dim, epsilon, 2)
    assert row is not None
    assert row["epsilon"] <= epsilon + 1e-9
    if row["formula"] is not None:
        assert row["stated"] == pytest.approx(row["formula"], rel=2e-4)
    errors = row["measured"], row["standard_error"]
    assert all(math.isfinite(value) for value in errors)


def test_several_reports_are_taken_where_they_are_better() -> None:
    one, best = BY_TITLE[TOP], BY_TITLE[TOP_REPORTS]
    assert best.codec(128, 4.0) == one.codec(128, 4.0)
    assert best.codec(128, 16.0).variance() < one.codec(128, 16.0).variance()
    assert best.codec(128, 16.0).epsilon == 16.0


def test_a_simplex_is_left_out_above_its_own_epsilon() -> None:
    row = next(m for m in CHOSEN if m.title.startswith("simplex, rr"))
    assert mechanism_row(row, 128, 2.0, 2) is None


@pytest.mark.parametrize("dim", [128, 1024, 65_536, 1 << 20])
@pytest.mark.parametrize("epsilon", [0.5, 4.0, 16.0])
def test_nothing_is_better_than_the_reference(dim: int, epsilon: float) -> None:
    top = parse(f"private_top({epsilon})", dim).variance()
    assert privunit(dim, epsilon) <= top * (1 + 1e-5)
    assert top <= 3 * privunit(dim, epsilon)


def test_what_the_page_says_of_the_papers() -> None:
    """V13: a hull that touches the ball. V2: no set has both numbers of the tables."""
    assert parse("hadamard(kappa=1, gain=bound(1))", 127).epsilon == math.inf
    assert parse("cross_polytope(gain=bound(1))", 128).epsilon == math.inf
    assert parse("cross_polytope(scale=2, gain=bound(1))", 128).variance() == pytest.approx(4 * 128 - 1)


@pytest.mark.parametrize("workers", WORKERS)
def test_cpsgd_has_as_little_noise_as_its_epsilon_allows(workers: int) -> None:
    codec = least_noise(128, 4.0, 1e-5, workers)
    assert codec is not None
    assert codec.central_epsilon(1e-5, workers) <= 4.0
    assert replace(codec, trials=codec.trials - 1).central_epsilon(1e-5, workers) > 4.0
    assert least_noise(128, 8.0, 1e-5, workers).variance() < codec.variance()  # type: ignore[union-attr]


def test_an_epsilon_that_needs_too_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpsgd_trials, "MOST_TRIALS", 64)
    assert least_noise(1024, 0.5, 1e-5, 1) is None


def test_payloads_of_cpsgd_that_coins_pay_for() -> None:
    codec = parse("cpsgd(levels=16, trials=1000)", 100)
    assert [measured_payloads(codec, coins) for coins in (1e9, 5.5e5, 1.9e5)] == [200, 5, 0]  # type: ignore[arg-type]


def test_the_page() -> None:
    """All mechanisms at one dimension and two payloads each: every row, every epsilon, every erratum."""
    experiment: Any = find("privacy-error")
    cases = [
        {"dim": 128, "mechanism": title, "samples": 2, "coins": 0.0}
        for title in (CPSGD, *(m.title for m in (*CHOSEN, *FIXED)))
    ]
    results = [Measured(case, json.loads(json.dumps(experiment.measure(**case)))) for case in cases]
    page = experiment.document(results, full=False)
    assert Document.from_json(json.loads(json.dumps(page.to_json()))) is not None
    parts = [part for section in page.sections for part in section.parts]
    words = " ".join(part for part in parts if isinstance(part, str))
    assert all(f"{name}, " in words for name in ("V1", "V2", "V3", "V4", "V5", "V13"))
    (chart,) = (part for part in parts if isinstance(part, Chart))
    assert chart.log_x and chart.log_y and len(chart.series) == 11
    assert all(len(series.x) == len(EPSILONS) for series in chart.series[1:8])
    mechanisms, cpsgd = (part for part in parts if isinstance(part, Table))
    assert {row[1] for row in mechanisms.rows} >= {m.title for m in FIXED}
    assert [row[2] for row in cpsgd.rows] == [1] * 4 + [1000] * 4


def test_all_cases_are_of_known_mechanisms() -> None:
    for full in (False, True):
        assert {case["mechanism"] for case in find("privacy-error").cases(full=full)} == {CPSGD, *BY_TITLE}
