"""``simq-theorem-3-1``: the printed bounds, that our codecs keep them, and what is drawn at a tiny scale."""

import math
from typing import Any

import pytest

from gradwire.bench.papers import simq_statements
from gradwire.bench.papers.experiment import Measured
from gradwire.bench.papers.experiments.simq_theorem_3_1 import FIXED_BITS, PS, SimqTheorem31, bits_at
from gradwire.bench.papers.simq_bounds import constants, lower_bits, simq_plus_bits, upper_bits
from gradwire.bench.papers.simq_statements import aguq, fixed_precision, largest, statement
from gradwire.common.codecs import parse
from gradwire.deploy.report.document import Chart, Document, Table


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, dim in (("DIM", 16), ("SPLIT_DIM", 64), ("FIXED_DIM", 64)):
        monkeypatch.setattr(simq_statements, name, dim)


@pytest.mark.parametrize("p", [2.0, 2.5, 4.0, 8.0, math.inf])
def test_theorem_3_1_is_theorem_4_2_at_its_number_of_draws(p: float) -> None:
    dim = 1 << 20
    k = dim ** (2 / p)
    printed = k * math.log2(math.e) + k * math.log2(dim / k + 1) + k
    assert upper_bits(dim, p) == pytest.approx(printed)
    assert simq_plus_bits(dim, round(k)) == pytest.approx(printed, rel=2e-3)


@pytest.mark.parametrize("p", PS)
@pytest.mark.parametrize("dim", [16, 100, 1024, 65_536])
def test_our_bits_are_between_the_bounds(p: float, dim: int) -> None:
    row = bits_at(dim, p)
    assert row["bits"] <= row["upper"] and row["bits"] <= row["paper_code"]
    assert row["bits"] >= row["lower"] * min(1.0, (constants(dim)[0] / 4) ** 2) and row["moment"] <= 16


def test_lower_bounds_grow_with_d_as_printed() -> None:
    assert lower_bits(4096, 2) == pytest.approx(4 * lower_bits(1024, 2))
    assert lower_bits(4096, 4.0) == pytest.approx(2 * lower_bits(1024, 4.0))
    assert lower_bits(4096, math.inf) == pytest.approx(lower_bits(1024, math.inf) + 2)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("of", "p"), [(of, p) for of, ps in simq_statements.STATEMENTS.items() for p in (ps[0], ps[-1])][1:]
)
def test_statements_hold_on_every_input(of: str, p: float) -> None:
    for at in simq_statements.INPUTS:
        row = statement(of, p, at, 300)
        assert row["moment"] <= row["bound"] + 5 * row["error"]
        assert row["bias"] <= 3 * row["by_chance"] + 2e-6
        if of.startswith("Theorem"):
            assert row["bits"] <= row["printed"] + 1
            assert row["moment"] == pytest.approx(row["exact"], abs=6 * row["error"] + 1e-5)


def test_aguq_keeps_its_bias_and_reaches_it() -> None:
    row = aguq(1000)
    assert row["bits"] == 7 and row["reach"] == 32
    assert row["bias"] == pytest.approx(1 / 32, rel=2e-3) and row["bias"] <= row["stated"]
    assert 1 < row["moment"] <= row["bound"]


def test_the_most_draws_within_a_budget() -> None:
    found = largest(lambda k: parse(f"simq({k})", 100), 32 + 8 * 5 + 7)
    assert found.nbits == 32 + 8 * 5


@pytest.mark.usefixtures("tiny")
def test_the_document_has_every_table() -> None:
    experiment = SimqTheorem31()
    results = []
    for params in experiment.cases(full=False):
        kept = dict(params)
        result: Any
        if kept["kind"] == "remark 8":
            result = fixed_precision(40 + FIXED_BITS.index(kept["bits"]), 3)
        elif kept["kind"] == "statement":
            result = statement(kept["of"], float(kept["p"]), kept["at"], 2)
        else:
            result = experiment.measure(**kept)
        results.append(Measured(kept, result))
    document = experiment.document(results, full=False)
    assert Document.from_json(document.to_json()).title == document.title
    parts = [part for section in document.sections for part in section.parts]
    tables = [part for part in parts if isinstance(part, Table)]
    assert [len(table.rows) for table in tables] == [28, 36, 4, 3]
    (chart,) = (part for part in parts if isinstance(part, Chart))
    assert [len(series.x) for series in chart.series] == [7, 7, 7]
