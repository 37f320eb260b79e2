"""``gradwire bench variance``: rows of theory's table at equal bits, measured and beside the bound."""

import json

import numpy as np
import pytest

from gradwire.bench.variance import BUDGETS, DIM, SCHEMES, measure, variance
from gradwire.common.errors import SpecError


def theory_of(cell: str) -> float:
    """The Gaussian vector's number."""
    return float(cell.split("/")[0])


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s.theory[1]], ids=lambda s: s.title)
def test_rows_are_theorys(scheme: object) -> None:
    """At 1,000 bits on a Gaussian vector; those with few coordinates sent vary from vector to vector."""
    x = np.random.default_rng(0).standard_normal(DIM, dtype=np.float32)
    row = measure(scheme, 1000, {"gaussian": x}, 6)
    assert row["nbits"] <= 1000
    error = 4 * row["standard_error"]["gaussian"]
    assert row["measured"]["gaussian"] == pytest.approx(theory_of(row["theory"]), rel=0.04, abs=error)


def test_codecs_fill_their_budgets() -> None:
    for scheme in SCHEMES:
        for bits in BUDGETS:
            codec = scheme.within(bits, DIM)
            assert codec is not None and codec.nbits <= bits
            assert codec.nbits > 0.9 * bits or bits == BUDGETS[-1]
    assert SCHEMES[0].within(33, DIM) is None


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    variance(bits=[200], samples=2, as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["dim"] == DIM and len(report["rows"]) == len(SCHEMES)
    assert report["bounds"][0]["b-32"] > report["bounds"][0]["b"] > 100
    assert all(row["measured"]["gradient"] > 0 for row in report["rows"])


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    variance(bits=[100], samples=2, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "cross_polytope(repeats=4" in line]) == 2
    assert "lower bound 728 for b - 32 bits, 489 for b" in lines[1]
    assert max(map(len, lines)) <= 130


def test_small_models_are_refused() -> None:
    with pytest.raises(SpecError, match="more hidden units"):
        variance(bits=[100], task="mlp(digits, hidden=10)", samples=2, as_json=True)
