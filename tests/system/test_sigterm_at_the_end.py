"""SIGTERM after the end of a run: the server still exits with 0, as container engines then stop every container."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from tests.system.harness import TIMEOUT

CLI = [sys.executable, "-m", "gradwire.deploy.cli"]


def test_sigterm_after_the_last_worker_exits_changes_nothing(tmp_path: Path) -> None:
    run = ["--task", "least_squares(samples=32, dim=12)", "--workers", "1", "--rounds", "3"]
    serve = [
        *CLI,
        "server",
        "--listen",
        "127.0.0.1:0",
        "--progress",
        "json",
        "--state-dir",
        str(tmp_path / "run"),
    ]
    with subprocess.Popen([*serve, *run], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            listening = json.loads(server.stdout.readline())
            with subprocess.Popen([*CLI, "worker", "--server", listening["address"]]) as worker:
                gone = os.pidfd_open(worker.pid)  # readable as soon as it has exited
                assert select.select([gone], [], [], TIMEOUT)[0]
                os.close(gone)
                server.send_signal(signal.SIGTERM)
            events = [json.loads(line) for line in server.stdout]
            assert server.wait(TIMEOUT) == 0
        finally:
            server.kill()
    assert events[-1]["event"] == "finished" and events[-1]["summary"]["replicas_agree"]
