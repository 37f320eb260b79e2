"""Flower's server with its FedAvg; its TCP bytes are counted by the kernel, as those of gradwire's server are.

Usage: ``python -m gradwire.bench.flower.server TRAINING PORT``. Standard output has a line when clients may connect,
and the results as the last one.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import time
import traceback
from typing import Any

from gradwire.bench.flower.training import Arrays, LocalTraining, Training
from gradwire.common.randomness import cohort_place
from gradwire.deploy.processes.die_with_parent import die_with_parent
from gradwire.server.tcp.meter import TcpBytes, TcpMeter

READY = "ready"
CONNECT_SECONDS = 120  # for all clients


class Clients:
    """The connected clients, as Flower's client manager knows them, and which worker each of them is."""

    def __init__(self, training: Training, manager: Any) -> None:
        """Nobody is connected yet.

        Args:
            training: whose seed the draw follows from, where it is gradwire's.
            manager: Flower's, whose draw is replaced then.
        """
        self._training, self._manager = training, manager
        self._rounds = itertools.count()
        self._proxies: dict[int, Any] = {}  # by worker
        if training.same_draw:
            manager.sample = self._sample

    def meet(self) -> None:
        """Wait for all clients, and ask which worker each of them is."""
        from flwr.common import GetPropertiesIns

        self._manager.wait_for(self._training.workers, timeout=CONNECT_SECONDS)
        for proxy in self._manager.all().values():
            answer = proxy.get_properties(GetPropertiesIns({}), timeout=CONNECT_SECONDS, group_id=0)
            self._proxies[answer.properties["worker"]] = proxy
        assert sorted(self._proxies) == list(range(self._training.workers)), "not all clients have connected"

    def _sample(self, num_clients: int, min_num_clients: int | None = None) -> list[Any]:
        """The clients of the workers that gradwire would draw."""
        seed, round_ = self._training.seed, next(self._rounds)
        drawn = sorted(self._proxies, key=lambda worker: cohort_place(seed, round_, worker))[:num_clients]
        return [self._proxies[worker] for worker in drawn]


class Watch:
    """Time, bytes and test metrics of the rounds: what comes before the first and after the last is left out."""

    def __init__(self, training: Training, local: LocalTraining, clients: Clients, port: int) -> None:
        """Count from now on."""
        self._training, self._local, self._clients = training, local, clients
        self._meter = TcpMeter(port)
        self._first = self._last = self._reading()
        self._complete = 0  # rounds with the models of all that were drawn
        self.history: list[dict[str, float]] = []

    def evaluate(
        self, server_round: int, arrays: Arrays, config: dict[str, Any]
    ) -> tuple[float, dict[str, float]] | None:
        """Flower calls this before the first round, with 0, and after each round."""
        assert self._complete == server_round, f"clients have failed in round {server_round}"
        if server_round == 0:
            print(READY, flush=True)
            self._clients.meet()
            self._first = self._reading()
        metrics = None
        if server_round % self._training.evaluate_every == 0 or server_round == self._training.rounds:
            metrics = self._local.evaluate(arrays)
            self.history.append({"round": server_round, **metrics})
        if server_round == self._training.rounds:
            self._last = self._reading()
        return None if metrics is None else (metrics["test_loss"], metrics)

    def count(self, results: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
        """Flower calls this with the metrics of a round's clients; it goes on silently where some have failed."""
        self._complete += len(results) == self._training.cohort
        return {}

    def _reading(self) -> tuple[float, TcpBytes | None]:
        return time.perf_counter(), self._meter.totals()

    def report(self) -> dict[str, Any]:
        """The results, under the names that a summary of gradwire's has."""
        (begun, before), (ended, after) = self._first, self._last
        up = down = None
        if before is not None and after is not None:
            up, down = after.received - before.received, after.sent - before.sent
        return {
            "seconds": ended - begun,
            "uplink": {"tcp_bytes": up},
            "downlink": {"tcp_bytes": down},
            "connections": after.connections if after is not None else None,
            "history": self.history,
        }


def main(training_text: str, port: str) -> None:
    """Serve one run."""
    from flwr.common import ndarrays_to_parameters  # not needed by gradwire: only where Flower is measured
    from flwr.server import ServerConfig, SimpleClientManager, start_server
    from flwr.server.strategy import FedAvg

    training, manager = Training.from_json(training_text), SimpleClientManager()
    local = LocalTraining(training)
    watch = Watch(training, local, Clients(training, manager), int(port))
    random.seed(training.seed)  # of Flower's draw
    strategy = FedAvg(
        fraction_fit=training.cohort / training.workers,
        fraction_evaluate=0.0,
        min_fit_clients=training.cohort,
        min_available_clients=training.workers,
        accept_failures=False,
        initial_parameters=ndarrays_to_parameters(local.initial()),
        fit_metrics_aggregation_fn=watch.count,
        on_fit_config_fn=lambda server_round: {"round": server_round - 1},
        evaluate_fn=watch.evaluate,
    )
    start_server(
        server_address=f"127.0.0.1:{port}",
        config=ServerConfig(num_rounds=training.rounds),
        client_manager=manager,
        strategy=strategy,
    )
    print(json.dumps(watch.report()), flush=True)


if __name__ == "__main__":
    die_with_parent()
    try:
        main(*sys.argv[1:])
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # gRPC's threads would keep the process while clients are connected
