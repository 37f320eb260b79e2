"""A worker killed at any point of a round continues bit for bit, and no payload is drawn or counted twice."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.grids import rest_slow
from tests.worker.record_victim import NAMES

ROOT = Path(__file__).parents[2]


def lives(name: str, folder: Path, stride: int) -> tuple[Any, list[Any]]:
    """The life that was not cut short; for each point of it, the one that was cut short there."""
    command = [sys.executable, "-m", "tests.worker.record_victim", str(folder), name, str(stride)]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # a process with threads must not fork
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole, *others = (json.loads(line) for line in done.stdout.splitlines())
    assert len(others) == len(range(1, len(whole[1]), stride)) + 1 > 5
    assert all(seen is None for _, seen, _ in others), "somebody was not killed"
    return whole, others


@pytest.mark.parametrize("name", rest_slow([name for name in NAMES if name != "private"]))
def test_kill_at_every_write_point(name: str, tmp_path: Path) -> None:
    (_, _, whole), others = lives(name, tmp_path, 1)
    recorded = [after.pop("recorded") for _, _, after in others]
    assert whole.pop("recorded") == [True, True]
    assert all(after == whole for _, _, after in others)
    # before, between and after the two workers' records
    assert sorted(map(list, {tuple(each) for each in recorded})) == [
        [False, False],
        [True, False],
        [True, True],
    ]


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_kill_between_record_and_ledger(stride: int, tmp_path: Path) -> None:
    """Private payloads are drawn once: what the record holds is paid for, and what is paid for is in the record."""
    (_, _, whole), others = lives("private", tmp_path, stride)
    steps = set()
    for _, _, after in others:
        steps.add((after["paid"], all(after["recorded"])))
        assert after["same"] and after["pushes"] == 3
        assert after["state"] == whole["state"]  # of the inner optimizer, which follows the data alone
        assert all(len(losses) == 2 for losses in after["losses"])
    assert steps == {(False, False), (False, True), (True, True)}
