"""Figure 1: runs at a small scale, the rounds that are made, and the documents."""

from typing import Any

import pytest

from gradwire.bench.papers import networks
from gradwire.bench.papers.experiment import Measured, find
from gradwire.bench.papers.networks import (
    FLOAT32,
    QSGD,
    SCHEMES,
    SYSTEMATIC,
    TOP_SIGNS,
    VQSGD,
    dimension,
    is_flat,
    measure,
)
from gradwire.bench.papers.networks_report import best_of, finding, runs_of
from gradwire.common.codecs import parse
from gradwire.common.errors import ConfigError, TaskError
from gradwire.deploy.report.document import Chart, Document, Table


def test_dimensions_are_the_papers() -> None:
    assert dimension("mnist", 1000) == dimension("fashion_mnist", 1000) == 795_010
    assert dimension("cifar10", 4000) == 12_332_010


@pytest.mark.parametrize("name", [SYSTEMATIC, TOP_SIGNS])
def test_ours_are_no_longer_than_vqsgd(name: str) -> None:
    most = parse(SCHEMES[VQSGD].codec, 795_010).nbits
    codec = parse(SCHEMES[name].spec(795_010), 795_010)
    assert most - 32 < codec.nbits <= most == 2132


@pytest.mark.parametrize("scheme", [VQSGD, QSGD, FLOAT32, SYSTEMATIC])
def test_a_small_measurement(scheme: str) -> None:
    found = measure("digits", 4, 5, scheme, 0.3, 3, 3)
    assert found is not None and len(found["values"]) == 4 and found["values"][-1] < 1
    dim = dimension("digits", 4)
    assert found["bits"] <= parse(found["codec"], dim).nbits
    expected = 4 * dim if scheme == FLOAT32 else 100 * found["up"]
    assert found["down"] == pytest.approx(expected)


def test_float32_with_few_workers_is_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    all_workers = measure("digits", 4, 0, FLOAT32, 0.3, 3, 3)
    monkeypatch.setattr(networks, "LARGE", 0)
    few = measure("digits", 4, 0, FLOAT32, 0.3, 3, 3)
    assert few is not None and all_workers is not None
    assert few["bits"] == all_workers["bits"] and few["down"] == all_workers["down"]
    # Shards of 14 and 15 rows, or of 143 and 144, weigh equally: the means differ in the second digit after the point.
    assert few["values"] == pytest.approx(all_workers["values"], abs=0.03)


def test_a_run_goes_on_until_it_is_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def curve(metric: str, *, rounds: int, **settings: Any) -> dict[str, Any]:
        made.append(rounds)
        return {"values": [1 / (1 + t / 100) for t in range(rounds + 1)], "up": 1.0, "down": 2.0, "bits": 8.0}

    monkeypatch.setattr(networks, "curve", curve)
    measure("digits", 4, 0, FLOAT32, 0.3, 100, 500)
    assert made == [100, 200, 400, 500]
    made.clear()
    measure("digits", 4, 0, FLOAT32, 0.3, 50, 50)
    assert made == [50]


def test_flat_is_a_point_in_fifty_rounds() -> None:
    assert not is_flat([0.5] * 100) and is_flat([0.5] * 101)
    assert not is_flat([0.9 - 0.005 * t for t in range(151)])


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match="no scheme 'qsdg'"):
        measure("digits", 4, 0, "qsdg", 0.1, 1, 1)


@pytest.mark.parametrize("name", ["vqsgd-figure-1", "vqsgd-figure-1-cifar"])
@pytest.mark.parametrize("full", [False, True])
def test_the_document_is_complete(name: str, full: bool) -> None:
    experiment = find(name)
    cases = experiment.cases(full=full)
    results = [Measured(case, _result(case)) for case in cases]
    if full:
        results[-1] = Measured(results[-1].params, None)  # one that diverged
    document = experiment.document(results, full=full)
    parts = [part for section in document.sections for part in section.parts]
    text = document.about + " ".join(part for part in parts if isinstance(part, str))
    assert "nan" not in text and "None" not in text
    charts = [part for part in parts if isinstance(part, Chart)]
    datasets = {case["dataset"] for case in cases}
    assert len(charts) == 4 * len(datasets) and sum(chart.log_x for chart in charts) == 2 * len(datasets)
    assert sum(isinstance(part, Table) for part in parts) == 3 * len(datasets)
    assert Document.from_json(document.to_json()).title == experiment.title


def test_a_scheme_that_always_diverges_is_named() -> None:
    cases = find("vqsgd-figure-1-cifar").cases(full=False)
    results = [Measured(case, None if case["scheme"] == VQSGD else _result(case)) for case in cases]
    with pytest.raises(TaskError, match="vqSGD, s = 100 diverged at every step"):
        find("vqsgd-figure-1-cifar").document(results, full=False)


@pytest.mark.parametrize(("error", "words"), [(0.105, "within the point"), (0.15, "does not hold")])
def test_the_verdict(error: float, words: str) -> None:
    errors = {VQSGD: error, QSGD: 0.1, FLOAT32: 0.09}
    results = [
        Measured(
            {"dataset": "mnist", "scheme": scheme, "step": 0.1},
            {"codec": scheme, "values": [0.9] * 50 + [last], "bits": 2132.0, "up": 267.0, "down": 26700.0},
        )
        for scheme, last in errors.items()
    ]
    best = best_of(runs_of(results, "mnist"))
    assert words in finding(best, 3825.05) and "3,825.05" in finding(best, 3825.05)


def _result(case: Any) -> dict[str, Any]:
    rank = list(SCHEMES).index(case["scheme"])
    values = [0.9 / (1 + t * case["step"] / (1 + rank)) for t in range(case["rounds"] + 1)]
    return {"codec": case["scheme"], "values": values, "bits": 2132.0, "up": 267.0, "down": 26_700.0}
