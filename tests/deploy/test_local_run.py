"""`gradwire run` with its real server and workers: killed or not, it ends with the same bits."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WORDS = ["run", "--task", "mlp(digits, hidden=8)", "--codec", "cross_polytope(repeats=20)", "--workers", "4",
         "--processes", "2", "--rounds", "1000", "--digest-every", "70", "--verbose"]  # fmt: skip


@contextmanager
def gradwire(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable,
        "-m",
        "gradwire.deploy.cli",
        *WORDS,
        "--json",
        str(folder / "out.json"),
        *words,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        try:
            yield run
        finally:
            run.kill()


def finish(run: subprocess.Popen[str], folder: Path) -> dict[str, Any]:
    assert run.stdout is not None
    said = run.stdout.read()
    assert run.wait() == 0, said
    summary: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return summary


def child(run: subprocess.Popen[str], role: str) -> int:
    """The process id of a child, by its command line."""
    listed = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    words = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in listed}
    return next(pid for pid, line in words.items() if role.encode() in line)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    with gradwire(folder) as run:
        return finish(run, folder)


@pytest.mark.slow
def test_a_run_keeps_its_promises(undisturbed: dict[str, Any]) -> None:
    assert undisturbed["predicted_equals_measured"] and undisturbed["replicas_agree"]
    assert undisturbed["metrics"]["accuracy"] > 0.5
    assert undisturbed["restarts"] == {}


@pytest.mark.slow
@pytest.mark.parametrize("role", ["worker-0", "server"])
def test_a_killed_process_changes_no_bit(role: str, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    with gradwire(tmp_path) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if "joined" in line and "worker-1: " in line:
                break
        os.kill(child(run, role), signal.SIGKILL)
        summary = finish(run, tmp_path)
    assert summary["restarts"] == {role: 1}
    assert summary["digest"] == undisturbed["digest"]
