"""A Flower run on this machine: a server and several processes of clients, over gRPC on loopback."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

from gradwire.bench.flower.server import READY
from gradwire.bench.flower.training import Training
from gradwire.common.errors import TaskError
from gradwire.deploy.processes.cores import thread_variables
from gradwire.deploy.run.placement import worker_ranges

MODULES = "gradwire.bench.flower"
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "FLWR_LOG_LEVEL": "WARNING"}
LAST_CHARACTERS = 3_000


def require_flower() -> str:
    """The release of Flower that is installed.

    Raises:
        TaskError: none.
    """
    if importlib.util.find_spec("flwr") is None:
        raise TaskError("Flower is not installed beside gradwire: pip install flwr, or pass --without-flower")
    return importlib.metadata.version("flwr")


def flower_trained(training: Training, processes: int) -> dict[str, Any]:
    """The results of one run, under the names that a summary of gradwire's has.

    Args:
        training: what is trained.
        processes: that the clients are dealt to, as gradwire deals its workers.

    Raises:
        TaskError: it failed; what the server wrote is in the message.
    """
    environment = {**os.environ, **thread_variables(processes), **QUIET}
    text, port = training.to_json(), _free_port()
    with ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile("w+"))
        server = stack.enter_context(_process(["server", text, str(port)], environment, errors))
        assert server.stdout is not None
        if server.stdout.readline().strip() == READY:
            for ids in worker_ranges(training.workers, processes):
                command = ["clients", text, f"127.0.0.1:{port}", str(ids.start), str(ids.stop)]
                stack.enter_context(_process(command, environment, errors))
        output = server.stdout.read()
        if server.wait() == 0:
            found: dict[str, Any] = json.loads(output.splitlines()[-1])
            return found
        errors.seek(0)
        raise TaskError(f"the Flower run failed: {errors.read()[-LAST_CHARACTERS:]}")


@contextmanager
def _process(
    arguments: list[str], environment: dict[str, str], errors: IO[str]
) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended with the block."""
    module, *rest = arguments
    command = [sys.executable, "-P", "-m", f"{MODULES}.{module}", *rest]
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,  # never written to: see die_with_parent.py
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
