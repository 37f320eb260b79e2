"""The ledger: what it counts, what it refuses, and that it survives restarts and refuses damage."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gradwire.common.errors import BudgetError, ConfigError, LogError, PrivacyError
from gradwire.common.privacy.accounting import affordable, tightest
from gradwire.common.privacy.budget import Budget, Run
from gradwire.worker.privacy import Ledger, ledger_file
from gradwire.worker.privacy.ledger_file import NAME

HALF = Run(b"first", b"codec", 0.5, frozenset({0, 1}))


def run(name: str, epsilon: float, workers: tuple[int, ...] = (0, 1)) -> Run:
    return Run(name.encode(), b"codec", epsilon, frozenset(workers))


def spend(ledger: Ledger, this: Run, rounds: range) -> None:
    ledger.admit(this)
    for round_ in rounds:
        ledger.spend(round_, dict.fromkeys(this.workers, b"%d" % round_))


def test_budget_is_not_exceeded(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, Budget(1.5))
    assert ledger.admit(HALF) == 3
    spend(ledger, HALF, range(3))
    with pytest.raises(BudgetError, match=r"budget of epsilon 1.5 does not pay .* 1.5 is spent in 3 pushes"):
        ledger.spend(3, {0: b"x", 1: b"y"})
    assert ledger.payloads(3) is None and ledger.totals.pure == 1.5


def test_spending_survives_a_restart(tmp_path: Path) -> None:
    first = Ledger(tmp_path, Budget(1.5))
    spend(first, HALF, range(2))
    first.close()
    again = Ledger(tmp_path, Budget(1.5))
    assert again.admit(HALF) == 1 and again.totals.pushes == 2
    assert again.payloads(1) == {0: b"1", 1: b"1"} and again.payloads(2) is None


def test_retry_counts_once() -> None:
    ledger = Ledger(None, Budget(1.5))
    spend(ledger, HALF, range(1))
    ledger.spend(0, {0: b"0", 1: b"0"})
    assert ledger.totals.pushes == 1
    with pytest.raises(PrivacyError, match="a retry re-sends those"):
        ledger.spend(0, {0: b"0", 1: b"other"})
    assert ledger.totals.pushes == 1


def test_run_that_does_not_fit_is_not_joined() -> None:
    with pytest.raises(BudgetError, match="does not pay for another push of epsilon 2"):
        Ledger(None, Budget(1.5)).admit(run("greedy", 2.0))
    assert Ledger(None, Budget(2.0)).admit(run("greedy", 2.0)) == 1


def test_worker_rejoins_a_run_with_a_spent_budget() -> None:
    ledger = Ledger(None, Budget(0.5))
    spend(ledger, HALF, range(1))
    assert ledger.admit(HALF) == 0  # its push may not have arrived
    assert ledger.payloads(0) == {0: b"0", 1: b"0"}
    with pytest.raises(BudgetError):
        ledger.admit(run("another", 0.5))


def test_runs_add_up_and_their_workers_do_not() -> None:
    ledger = Ledger(None, Budget(100.0))
    spend(ledger, run("one", 0.5, (0, 1, 2)), range(4))
    spend(ledger, run("two", 0.25, (7,)), range(10))
    totals = ledger.totals
    assert (totals.unit, totals.pushes, totals.pure, totals.within_unit) == (0.5, 14, 4.5, True)
    assert totals.epsilon(0) == 4.5


def test_better_of_two_bounds() -> None:
    budget = Budget(8.0, 1e-5)
    ledger = Ledger(None, budget)
    many = affordable(8.0, 0.1, 1e-5)
    assert ledger.admit(run("small", 0.1)) == many > 80
    spend(ledger, run("small", 0.1), range(30))
    assert ledger.totals.epsilon(1e-5) == tightest(0.1, 30, 1e-5) < 3.0
    # Pushes of less count as one of the unit where that is cheaper, and by their own epsilon where that is.
    assert ledger.admit(run("smaller", 0.05)) == many - 30
    assert Ledger(None, budget).admit(run("smaller", 0.05)) == affordable(8.0, 0.05, 1e-5)
    # A larger one than the first is paid for by the sum, and from then on only the sum holds.
    large = run("large", 1.0)
    assert ledger.admit(large) == 5
    spend(ledger, large, range(5))
    assert ledger.totals.epsilon(1e-5) == pytest.approx(8.0)
    with pytest.raises(BudgetError, match="8 is spent in 35 pushes"):
        ledger.admit(run("small again", 0.1))


def test_run_must_not_change() -> None:
    ledger = Ledger(None, Budget(10.0))
    spend(ledger, HALF, range(1))
    with pytest.raises(PrivacyError, match=r"as \[0, 1\], not \[2, 3\]"):
        ledger.admit(run("first", 0.5, (2, 3)))
    with pytest.raises(PrivacyError, match="changed its codec"):
        ledger.admit(Run(b"first", b"other", 0.5, frozenset({0, 1})))
    ledger.admit(HALF)
    with pytest.raises(PrivacyError, match="payloads of other workers"):
        ledger.spend(1, {0: b"", 1: b"", 2: b""})


def test_old_payloads_are_dropped_and_not_paid_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_file, "KEPT_ROUNDS", 3)
    ledger = Ledger(None, Budget(50.0))
    spend(ledger, HALF, range(6))
    assert ledger.payloads(3) == {0: b"3", 1: b"3"}
    for ask in (lambda: ledger.payloads(2), lambda: ledger.spend(2, {0: b"new", 1: b"new"})):
        with pytest.raises(PrivacyError, match="no longer kept"):
            ask()
    assert ledger.totals.pushes == 6


def test_counting_without_a_budget(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    spend(ledger, HALF, range(50))
    ledger.close()
    with pytest.raises(BudgetError, match="25 is spent in 50 pushes"):
        Ledger(tmp_path, Budget(20.0)).admit(run("later", 0.5))


def test_run_must_be_admitted_first() -> None:
    with pytest.raises(PrivacyError, match="no run was admitted"):
        Ledger(None, Budget(1.0)).spend(0, {0: b""})


# ---- the file ----------------------------------------------------------------------------------------------


HOLD = """
import sys
from pathlib import Path
from gradwire.worker.privacy import Ledger
ledger = Ledger(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def test_ledger_is_locked(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(LogError, match="in use by another worker"):
            Ledger(tmp_path)
        other.stdin.close()
        assert other.wait(60) == 0  # without closing the ledger: the lock goes with the process
    Ledger(tmp_path).close()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM pushes WHERE round = 1",
        "DELETE FROM pushes",
        "DELETE FROM runs",
        "UPDATE runs SET pushes = 1",
    ],
)
def test_damaged_ledger(tmp_path: Path, damage: str) -> None:
    ledger = Ledger(tmp_path, Budget(50.0))
    spend(ledger, HALF, range(3))
    ledger.close()
    with sqlite3.connect(tmp_path / NAME) as db:
        db.execute(damage)
    db.close()
    with pytest.raises(LogError, match="damaged: restore a copy made after its last push"):
        Ledger(tmp_path, Budget(50.0))


@pytest.mark.parametrize("keep", [0, 40, 5000])
def test_truncated_ledger(tmp_path: Path, keep: int) -> None:
    ledger = Ledger(tmp_path)
    spend(ledger, HALF, range(200))
    ledger.close()
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(LogError):
        Ledger(tmp_path)


def test_file_of_another_program(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / NAME).close()
    with pytest.raises(LogError, match=r"privacy\.db is not a privacy ledger: check the path"):
        Ledger(tmp_path)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 0.0), (-1.0, 0.0), (1e9, 0.0), (1.0, 1.0), (1.0, -0.1)])
def test_invalid_budget(epsilon: float, delta: float) -> None:
    with pytest.raises(ConfigError):
        Budget(epsilon, delta)
