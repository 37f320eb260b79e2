"""A server that is told to stop when its run is over ends as if nobody had: who runs containers stops them all then."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

CLI = [sys.executable, "-m", "gradwire.deploy.cli"]
PATIENCE = 60.0


def test_a_stop_after_the_last_word_of_the_last_worker_changes_nothing(tmp_path: Path) -> None:
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
                gone = os.pidfd_open(worker.pid)  # the fastest word of its end
                assert select.select([gone], [], [], PATIENCE)[0]
                os.close(gone)
                server.send_signal(signal.SIGTERM)
            events = [json.loads(line) for line in server.stdout]
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()
    assert events[-1]["event"] == "finished" and events[-1]["summary"]["replicas_agree"]
