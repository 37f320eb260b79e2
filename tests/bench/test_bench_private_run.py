"""``gradwire bench private-run``: real runs under a budget, each with what it spent and where it ended."""

import json
import math

import pytest

from gradwire.bench.commands import private_run as bench
from gradwire.common.errors import ConfigError
from gradwire.common.privacy.accounting import epsilon_for

FEW = [s for s in bench.SCHEMES if s.title in ("none", "rr, exact epsilon")]
TASK = "softmax(digits)"


@pytest.mark.slow
def test_rows_are_of_runs_that_kept_their_budget(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "SCHEMES", FEW)
    bench.private_run(epsilon=[8.0], task=TASK, workers=2, rounds=5, runs=2, as_json=True)
    report = json.loads(capsys.readouterr().out)
    plain, private = rows = report.pop("rows")
    assert plain["budget"] is None and plain["epsilon_per_push"] is None
    assert private["budget"] == 8.0
    assert private["epsilon_per_push"] == pytest.approx(epsilon_for(8.0, 5, 1e-5), rel=1e-8)
    assert private["epsilon_spent"]["tightest"] == pytest.approx(8.0, rel=1e-6)
    assert private["epsilon_spent"]["pure"] > 8.0
    for row in rows:
        assert len(row["test_errors"]) == 2 and 0 <= row["test_error"] <= 1
        rate = 4 / (0.5 * math.sqrt(5 * (1 + row["variance"] / 2)))
        assert row["lr"] == pytest.approx(rate)
    assert plain["test_error"] < 0.8  # of ten classes, after five rounds, with coins from the seed
    bench._print(report, rows)
    first, head, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("softmax(digits), 650 coordinates, 2 workers, 5 rounds, 2 runs each, delta 1e-05")
    assert head.split()[:2] == ["budget", "mechanism"]
    assert [line.split()[:2] for line in lines] == [["—", "none"], ["8", "rr,"]] and len(lines[1]) < 110


@pytest.mark.parametrize(("epsilon", "delta"), [([0.0], 1e-5), ([8.0], 0.0), ([8.0], 1.0)])
def test_a_budget_without_meaning_is_refused(epsilon: list[float], delta: float) -> None:
    with pytest.raises(ConfigError, match="expected"):
        bench.private_run(epsilon=epsilon, delta=delta, task=TASK)
