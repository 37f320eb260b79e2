"""A log that will be pruned is announced; one that is to be kept is kept."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.training.config import RunConfig, load_config
from gradwire.deploy.flags import read_settings
from gradwire.deploy.options import RunOptions
from gradwire.deploy.run.launch import server_arguments
from gradwire.server import fold as fold_module
from gradwire.server.log.run_log import RunLog
from gradwire.server.progress import ProgressFormat, reporter
from tests.system.harness import Run, run_hosts

CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)", codec="cross_polytope(repeats=3)", workers=2, rounds=9
)
ROUND_BYTES = 2 * 7
WARNING = (
    "the log would grow to 0.0 GB, so rounds before its newest snapshot are deleted and an audit can begin only "
    "there: --keep-log keeps all rounds"
)


def warnings(run: Run) -> list[str]:
    return [event["message"] for event in run.events if event["event"] == "warning"]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots after each round; logs of fewer bytes than nine rounds have are kept."""
    monkeypatch.setattr(fold_module, "SNAPSHOT_FLOOR", 0)
    monkeypatch.setattr(fold_module, "SNAPSHOT_FACTOR", 0)
    monkeypatch.setattr(fold_module, "KEEP_LOG_BYTES", 9 * ROUND_BYTES - 1)


@pytest.mark.parametrize("changes", [{}, {"keep_log": True}, {"rounds": 8}])
def test_pruning_is_announced_before_the_first_round(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = replace(CONFIG, **changes)
    _, run = run_hosts(config, tmp_path, [(0, 1)])
    pruned = not changes
    assert warnings(run) == [WARNING] * pruned
    kinds = [event["event"] for event in run.events]
    assert not pruned or kinds.index("warning") < kinds.index("round")
    with RunLog.open(tmp_path) as log:
        assert (log.first_kept() > 0) is pruned
        assert (log.latest_snapshot() or (0,))[0] > 0


def test_pruning_is_announced_again_by_a_server_that_goes_on(tmp_path: Path) -> None:
    run_hosts(CONFIG, tmp_path, [(0, 1)])

    async def again() -> Run:
        run = Run(CONFIG, tmp_path)
        await run.serve()
        return run

    assert warnings(asyncio.run(again())) == [WARNING]


def test_warning_is_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    reporter(ProgressFormat.LINES)({"event": "warning", "message": WARNING})
    assert capsys.readouterr().out == f"warning: {WARNING}\n"


def test_log_is_kept_by_flag_and_by_file(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("keep_log = true\n", encoding="utf-8")
    file, task = read_settings(tmp_path / "run.toml"), {"task": "synthetic(dim=3)"}
    assert not load_config(task).keep_log
    config = load_config(file, task)
    assert config.keep_log and "--keep-log" in server_arguments(config, RunOptions(), tmp_path)
    assert not load_config(file, {**task, "keep_log": False}).keep_log
