"""One training over hosts: supervised, measured at every interface."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gradwire.bench.hosts.base import Hosts, Network
from gradwire.bench.hosts.links import Links, links_for
from gradwire.common.errors import ByteMismatchError, DivergenceError
from gradwire.deploy.flags import as_flags
from gradwire.deploy.options import PORT
from gradwire.deploy.processes.events import Inbox
from gradwire.deploy.processes.plan import Limits, Plan, Worker
from gradwire.deploy.processes.supervisor import Supervisor
from gradwire.server.interfaces import InterfaceCounters

# What is measured is one undisturbed training: a killed process ends it, and an ended one is killed at once.
LIMITS = Limits(restarts=0, grace=0.0)


@dataclass(frozen=True)
class Trained:
    """What a training did and cost.

    Attributes:
        summary: the server's.
        carried: by host, what its interface carried from before the server's start until after the last exit.
        reached: by round, seconds since the server listened at which it announced that the round was committed; a
            fast server does not announce every round.
    """

    summary: dict[str, Any]
    carried: dict[str, InterfaceCounters]
    reached: dict[int, float]


@dataclass(frozen=True)
class Trainer:
    """Trains on a network: a fresh one for each run, so that every run finds the same idle links.

    Attributes:
        inbox: where the events of the network's processes, and signals to this process, arrive.
        plaintext: do without the certificates that each run is otherwise given.
        watch: called with each of the server's events.
    """

    network: Network
    inbox: Inbox
    plaintext: bool = False
    watch: Callable[[Mapping[str, Any]], None] = lambda event: None

    def run(self, settings: Mapping[str, Any], workers: int) -> Trained:
        """Train to the end, with one worker on each host.

        Args:
            settings: of the run, by name.
            workers: hosts of workers.

        Raises:
            ConfigError: the hosts cannot be made.
            RunEnded: a process failed, or a signal arrived.
            ByteMismatchError: predicted and measured bytes differ.
            DivergenceError: a replica ended with other parameters.
        """
        clock = _Clock(self.watch)
        with self.network.hosts(workers) as hosts, links_for(hosts, plaintext=self.plaintext) as links:
            before = {host.name: host.counters() for host in hosts.all}
            plan = plan_for(hosts, links, {**settings, "workers": workers})
            outcome = Supervisor(plan, self.inbox, clock, LIMITS).run()
            if outcome.summary is not None:
                _check(outcome.summary)
            if outcome.failure is not None:
                raise outcome.failure
            carried = {host.name: host.counters() - before[host.name] for host in hosts.all}
        assert outcome.summary is not None  # the supervisor reports a server that exits without one
        return Trained(outcome.summary, carried, clock.reached)


def plan_for(hosts: Hosts, links: Links, settings: Mapping[str, Any]) -> Plan:
    """A server on its host, and on each other host a worker."""
    server = hosts.server
    workers = tuple(
        Worker(
            host.child,
            (
                "--name",
                host.name,
                "--workers",
                str(i),
                "--state-dir",
                host.scratch("run"),
                *links.worker(host),
            ),
        )
        for i, host in enumerate(hosts.workers)
    )
    words = ("--state-dir", server.scratch("run"), *links.server(server), *as_flags(settings))
    return Plan(server.child, words, workers, listen=f"{server.address}:{PORT}")


class _Clock:
    """A display that shows nothing: it takes the time of each round, and passes events on."""

    def __init__(self, watch: Callable[[Mapping[str, Any]], None]) -> None:
        self.reached: dict[int, float] = {}
        self._watch = watch
        self._started = 0.0

    def show(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "listening":
            self._started = time.monotonic()
        elif event["event"] == "round":
            self.reached[event["round"]] = time.monotonic() - self._started
        self._watch(event)

    def note(self, text: str) -> None:
        pass

    def log(self, name: str, line: str) -> None:
        pass

    def tick(self) -> None:
        pass


def _check(summary: Mapping[str, Any]) -> None:
    if not summary["predicted_equals_measured"]:
        raise ByteMismatchError(
            f"{summary['codec']}: measured bytes are not those predicted: uplink {summary['uplink']}, downlink "
            f"{summary['downlink']}, expected {summary['predicted']}"
        )
    if not summary["replicas_agree"]:
        raise DivergenceError(f"{summary['codec']}: a replica ended with other parameters than the server")
