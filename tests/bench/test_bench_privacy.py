"""``gradwire bench privacy`` and ``audit``: formulas beside codecs, and bounds on epsilon that hold and that bite."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from gradwire.bench.commands.audit import epsilon_bounds, lower_bound
from gradwire.bench.commands.privacy import measure, squared_errors
from gradwire.bench.private_schemes import ROWS
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.spec import parse_spec
from gradwire.deploy.cli import app
from tests.common.codecs import mutants
from tests.common.codecs.chance import Chance
from tests.common.codecs.coins import coins
from tests.grids import rest_slow

RR = parse_spec("rr(1)")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["bench", *arguments])


# ---- the table ---------------------------------------------------------------------------------------------


def as_number(text: str) -> float:
    return float(text.replace(",", ""))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
@pytest.mark.parametrize(("dim", "epsilon"), [(128, 1.0), (128, 8.0), (1024, 4.0)])
def test_codec_formula_and_theory_agree(row: Any, dim: int, epsilon: float) -> None:
    found = measure(row, dim, epsilon, 2)
    assert found["formula"] == pytest.approx(as_number(found["theory"]), rel=0.03)
    if row.spec is not None:
        assert found["stated"] == pytest.approx(found["formula"], rel=2e-4)
        assert found["epsilon"] <= epsilon and found["nbytes"] == math.ceil(found["nbits"] / 8)
        assert "nominal" in row.title or found["epsilon"] == epsilon or "vqSGD" in row.title


def test_errors_are_those_of_real_payloads() -> None:
    """Randomized response decodes to vectors of one length R, so |error| is R - 1 to R + 1, whatever the coins."""
    codec = parse("private(rr(4.0))", 128)
    errors = np.sqrt(squared_errors(codec, 50))
    length = math.sqrt(codec.variance() + 1)
    assert (np.abs(errors - length) <= 1).all() and np.ptp(errors) > 0


def test_table_as_json() -> None:
    result = run("privacy", "--dim", "128", "--epsilon", "4", "--samples", "2", "--json")
    assert result.exit_code == 0
    rows = json.loads(result.output)["rows"]
    assert len(rows) == len(ROWS) and {row["dim"] for row in rows} == {128}


# ---- the audit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "misses", "samples"), [(30, 2, 50), (50, 0, 50), (1, 0, 1000), (700, 650, 1000)]
)
@pytest.mark.parametrize("rate", [0.05, 1e-6])
def test_bound_is_clopper_and_pearsons(hits: int, misses: int, samples: int, rate: float) -> None:
    """At the ends of both intervals such counts, or worse, have probability rate / 2."""
    least = stats.binomtest(hits, samples).proportion_ci(1 - rate).low
    most = stats.binomtest(misses, samples).proportion_ci(1 - rate).high
    assert lower_bound(hits, misses, samples, rate) == pytest.approx(
        max(0.0, math.log(least / most)), abs=1e-9
    )


def test_bounds_of_nothing() -> None:
    assert lower_bound(0, 0, 100, 0.01) == 0.0
    assert lower_bound(100, 100, 100, 0.01) == 0.0


@pytest.mark.parametrize(
    "spec",
    rest_slow(
        ["private(rr(2.0))", "private_top(2.0, axes=1)", "private(oue(2.0))", "simplex(gain=bound(1))"]
    ),
)
def test_honest_codecs_pass(spec: str, chance: Chance) -> None:
    """No bound is above the stated epsilon."""
    codec = parse(spec, 4)
    bounds = [f.bound for f in epsilon_bounds(codec, 400, 1 - chance.rate, coins(chance.rng))]
    assert max(bounds) <= codec.epsilon, f"{codec}: {bounds}; {chance}"


FAULTS: list[tuple[Callable[[], AnyCodec], str]] = [
    (
        lambda: mutants.EpsilonOfOneReport(
            dim=2, mechanism=RR, codec=parse_spec("cross_polytope(repeats=20)")
        ),
        "20 draws",
    ),
    (lambda: mutants.NoReports(dim=40, mechanism=RR), "the vertex itself is sent"),
]


@pytest.mark.parametrize(("mutant", "fault"), rest_slow(FAULTS))
def test_codecs_that_promise_too_much_are_found(
    mutant: Callable[[], AnyCodec], fault: str, chance: Chance
) -> None:
    codec = mutant()
    bounds = [f.bound for f in epsilon_bounds(codec, 300, 1 - chance.rate, coins(chance.rng))]
    assert max(bounds) > codec.epsilon, f"{fault}: {bounds}"


def test_command() -> None:
    result = run("audit", "--codec", "private(rr(1.0))", "--dim", "3", "--samples", "200", "--json")
    assert result.exit_code == 0
    found = json.loads(result.output)
    assert found["stated"] == 1.0 and found["holds"] and len(found["pairs"]) == 4
    assert (
        "stated 1; at least"
        in run("audit", "--codec", "private(rr(1.0))", "--dim", "3", "--samples", "200").output
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--codec", "qsgd"), "qsgd claims no privacy that could be audited"),
        (("--codec", "private(rr(0))"), "epsilon is 0.0, expected above 0"),
        (("--confidence", "1"), "the confidence is 1.0, expected above 0 and below 1"),
        (("--confidence", "nan"), "the confidence is nan, expected above 0 and below 1"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], message: str) -> None:
    result = run("audit", "--dim", "5", *arguments)
    assert result.exit_code != 0 and message in str(result.exception)
