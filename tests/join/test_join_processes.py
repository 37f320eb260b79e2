"""Whole runs of real processes: programs and a server, each killed in the middle."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.join.scripts import ROOT, Script
from tests.join.serving import FLOAT

pytestmark = pytest.mark.slow

SITE = """
model = {"w": np.zeros(1000, np.float32)}
with joined(gradwire.join(ADDRESS, model, name=NAME, every=3, state_dir=FOLDER)) as run:
    for batch in run.batches(range(7)):
        model["w"] -= np.float32(0.5)
        run.step(loss=1.0)
note("end", w=[float(model["w"].min()), float(model["w"].max())], round=run.round)
"""


class ServerProcess:
    """``gradwire server``, and the events that it prints."""

    def __init__(self, folder: Path, listen: str, *settings: str) -> None:
        words = ["server", "--listen", listen, "--state-dir", str(folder), "--progress", "json", *settings]
        command = [sys.executable, "-m", "gradwire.deploy.start", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.address = self.wait("listening")["address"]

    def events(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        return map(json.loads, self.process.stdout)

    def wait(self, kind: str, **least: int) -> dict[str, Any]:
        """The next event of that kind, whose fields are at least these."""
        for event in self.events():
            if event["event"] == kind and all(event[name] >= value for name, value in least.items()):
                return event
        raise AssertionError(f"the server ended without {kind} {least}")

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> int:
        assert self.process.stdout is not None
        code = self.process.wait()
        self.process.stdout.close()
        return code


def site(folder: Path, name: str) -> str:
    return f"NAME, FOLDER = {name!r}, {str(folder / name)!r}\n{SITE}"


def test_programs_and_servers_that_are_killed(tmp_path: Path) -> None:
    """Every round is of both sites, so the model is known: no update was lost, and none counted twice."""
    settings = ["--workers", "2", "--rounds", "1000", "--evaluate-every", "0"]
    settings += [word for name, value in FLOAT.items() for word in (f"--{name}", value)]
    run = tmp_path / "run"
    server = ServerProcess(run, "127.0.0.1:0", *settings)
    alice, bob = (Script(site(tmp_path, name), server.address) for name in ("alice", "bob"))
    with alice, bob:
        server.wait("round", round=100)
        server.kill()
        server = ServerProcess(run, server.address)
        server.wait("round", round=200)
        alice.process.kill()
        assert alice.end() == -signal.SIGKILL
        assert server.wait("left")["process"] == "alice"
        with Script(site(tmp_path, "alice"), server.address) as again:
            assert server.wait("restarted").items() >= {"process": "alice", "starts": 2}.items()
            summary = server.wait("finished")["summary"]
            assert server.end() == 0
            ends = [each.wait("end") for each in (again, bob)]
            assert [again.end(), bob.end()] == [0, 0]
    assert all(end["w"] == [-1500.0, -1500.0] and end["round"] == 1000 for end in ends)
    assert summary["restarted"] == {"alice": 2} and summary["replicas_agree"]
    assert summary["predicted_equals_measured"] and summary["late"] == 0
