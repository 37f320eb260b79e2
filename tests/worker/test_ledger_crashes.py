"""A worker killed between any two statements of its ledger has counted every payload that may have left it."""

import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gradwire.common.errors import BudgetError
from gradwire.common.privacy.budget import Budget
from gradwire.common.system import atomic, sqlite
from gradwire.worker.privacy import Ledger
from tests.worker.ledger_victim import RUN, payloads

ROOT = Path(__file__).parents[2]


def victim(directory: Path, round_: int, statement: int) -> tuple[int, list[str]]:
    command = [
        sys.executable,
        "-m",
        "tests.worker.ledger_victim",
        str(directory),
        str(round_),
        str(statement),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout.split("\n")


def test_kill_before_every_statement(tmp_path: Path) -> None:
    code, lines = victim(tmp_path / "whole", 0, 0)
    assert code == 0
    statements = int(lines[1].removeprefix("statements "))
    assert statements > 8
    paid_for = 0
    for statement in range(1, statements + 1):
        folder = tmp_path / str(statement)
        code, lines = victim(folder, 0, statement)
        assert code == -signal.SIGKILL and lines == [""]  # nothing left it
        ledger = Ledger(folder, Budget(1.5))
        ledger.admit(RUN)
        kept = ledger.payloads(0)
        assert ledger.totals.pushes == (kept is not None)
        assert kept is None or kept.keys() == RUN.workers
        paid_for += kept is not None
        ledger.spend(0, kept or payloads(0))  # what a restarted worker does: it counts once
        assert ledger.totals.pushes == 1
        ledger.close()
    assert 1 <= paid_for < statements


@pytest.mark.slow
def test_repeated_kills_do_not_exceed_the_budget(tmp_path: Path) -> None:
    sent: dict[int, set[str]] = {}
    for round_ in range(3):
        for statement in (7, 12, 0, 9, 0):  # 0: it lives, and sends
            _, lines = victim(tmp_path, round_, statement)
            if lines[0]:
                sent.setdefault(round_, set()).add(lines[0])
    assert [len(sent[round_]) for round_ in range(3)] == [1, 1, 1]
    ledger = Ledger(tmp_path, Budget(1.5))
    ledger.admit(RUN)
    with pytest.raises(BudgetError):
        ledger.spend(3, payloads(3))


@pytest.mark.parametrize(("module", "step"), [(atomic, "sync"), (sqlite, "_connect")])
def test_kill_during_creation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, step: str
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, step, die)
        with pytest.raises(KeyboardInterrupt):
            Ledger(tmp_path)
    assert (tmp_path / "privacy.db").exists() == (step == "_connect")
    ledger = Ledger(tmp_path, Budget(1.5))
    assert ledger.totals.pushes == 0 and ledger.admit(RUN) == 3
