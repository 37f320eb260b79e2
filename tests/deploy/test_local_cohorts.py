"""`gradwire run` with cohorts and with workers that join and leave, in real processes that are killed."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.training.config import RunConfig
from gradwire.server.log.run_log import RunLog
from tests.deploy.test_local_run import child, finish, gradwire
from tests.system.cohorts import cohorts, recomputed, records_of

COHORT = (
    "--workers",
    "6",
    "--cohort",
    "2",
    "--processes",
    "3",
    "--rounds",
    "200",
    "--task",
    "softmax(digits)",
)
EF = ("--codec", "top_k(k=20)", "--feedback", "error")


def config_of(folder: Path) -> RunConfig:
    with RunLog.open_read_only(folder) as log:
        return log.config


def after_round(run: Any, round_: int) -> None:
    """Wait until a line of progress shows so many rounds."""
    for line in run.stdout:
        if f"round {round_}" in line or any(
            f"round {later}" in line for later in range(round_, round_ + 150)
        ):
            return


@pytest.mark.slow
def test_a_cohort_run_whose_server_is_killed_ends_with_the_same_bits(tmp_path: Path) -> None:
    digests = []
    for name in ("whole", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        with gradwire(folder, *COHORT, *EF, "--state-dir", str(folder / "run")) as run:
            if name == "killed":
                after_round(run, 20)
                os.kill(child(run, "server"), signal.SIGKILL)
            summary = finish(run, folder)
        assert summary["predicted_equals_measured"] and summary["replicas_agree"] and summary["cohort"] == 2
        assert summary["restarts"] == ({"server": 1} if name == "killed" else {})
        config = config_of(folder / "run")
        assert [record.workers for record in records_of(folder / "run")] == cohorts(config)
        digests.append(summary["digest"])
    assert len(set(digests)) == 1 == len({*digests, f"{recomputed(config, folder / 'run').digest:016x}"})


@pytest.mark.slow
def test_workers_of_an_elastic_run_may_be_killed(tmp_path: Path) -> None:
    words = (
        "--workers",
        "2..6",
        "--cohort",
        "3",
        "--processes",
        "3",
        "--rounds",
        "200",
        "--task",
        "softmax(digits)",
    )
    with gradwire(tmp_path, *words, "--state-dir", str(tmp_path / "run")) as run:
        after_round(run, 20)
        os.kill(child(run, "worker-1"), signal.SIGKILL)
        summary = finish(run, tmp_path)
    assert summary["predicted_equals_measured"] and summary["replicas_agree"] and summary["min_workers"] == 2
    assert summary["restarts"] == {"worker-1": 1} and summary["replicas_checked"] == 3
    records = records_of(tmp_path / "run")
    assert len(records) == 200 and all(2 <= len(record.workers) <= 3 for record in records)
