"""Several of Flower's clients in one process, each with a thread and a stream of its own.

Usage: ``python -m gradwire.bench.flower.clients TRAINING SERVER FIRST END``
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from gradwire.bench.flower.training import Arrays, LocalTraining, Training
from gradwire.deploy.processes.die_with_parent import die_with_parent


class WorkerClient:
    """One worker's data and local steps, with the methods of Flower's ``NumPyClient``."""

    def __init__(self, local: LocalTraining, worker: int, turn: threading.Lock) -> None:
        """Nothing is computed yet.

        Args:
            local: the task, shared by the clients of the process.
            worker: its id.
            turn: clients of a process train one after the other, as the workers of a gradwire process do.
        """
        self._local, self._worker, self._turn = local, worker, turn

    def get_properties(self, config: dict[str, Any]) -> dict[str, int]:
        """The worker's id."""
        return {"worker": self._worker}

    def fit(self, parameters: Arrays, config: dict[str, Any]) -> tuple[Arrays, int, dict[str, int]]:
        """The model after the local steps of ``config["round"]``, and the worker's number of samples."""
        with self._turn:
            trained = self._local.fit(parameters, round=config["round"], worker=self._worker)
        return trained, self._local.size(self._worker), {}


def main(training: str, server: str, first: str, end: str) -> None:
    """Take part until the server ends the run."""
    from flwr.client import NumPyClient, start_client  # not needed by gradwire: only where Flower is measured

    flower_client = type("FlowerClient", (WorkerClient, NumPyClient), {})
    local, turn = LocalTraining(Training.from_json(training)), threading.Lock()
    threads = [
        threading.Thread(
            target=start_client,
            kwargs={"server_address": server, "client": flower_client(local, worker, turn), "insecure": True},
        )
        for worker in range(int(first), int(end))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    die_with_parent()
    main(*sys.argv[1:])
