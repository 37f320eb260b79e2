"""``privacy-simplex``: numbers of small payloads, and the page."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gradwire.bench.papers.experiment import Measured, find
from gradwire.bench.papers.experiments.privacy_simplex import CIFAR_10, SPECS, of_payloads, simplex_epsilon
from gradwire.common.arrays.decisions import ROUNDING
from gradwire.common.codecs import parse
from gradwire.deploy.report.document import Chart, Table


@pytest.mark.parametrize("dim", [2, 1000, CIFAR_10])
def test_epsilon(dim: int) -> None:
    """Erratum V5: below ln 7, above what the printed ratio would give."""
    stated = parse(SPECS["simplex"], dim).epsilon
    assert simplex_epsilon(dim) <= stated <= simplex_epsilon(dim) + 1.01 * ROUNDING
    assert math.log((7 * dim - 2) / (dim + 2)) < stated < math.log(7)


def test_errors_are_those_of_the_two_kinds_of_vertex() -> None:
    """|Q|² is 16 d or 4 d²: so is |Q - x|², up to the cross term."""
    found = of_payloads(SPECS["simplex"], 10_000, 50)
    assert 16 * 10_000 * 0.9 <= found["measured"] <= 4 * 10_000**2 * 1.01
    assert found["bits"] == 14 and found["encode_seconds"] > 0


def test_the_page() -> None:
    experiment: Any = find("privacy-simplex")
    cases = [{"dim": dim, "scheme": s, "payloads": 2} for dim in (100, 50) for s in SPECS]
    page = experiment.document([Measured(case, experiment.measure(**case)) for case in cases], full=False)
    parts = [part for section in page.sections for part in section.parts]
    assert sum(isinstance(part, Chart) for part in parts) == 1
    (table,) = (part for part in parts if isinstance(part, Table))
    assert [row[0] for row in table.rows] == [50, 50, 100, 100]
    assert "At 100 coordinates a payload of the private simplex has 7 bits" in parts[0]
