"""One training spread over hosts: started, watched, measured at every interface, and stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Empty
from typing import Any

from gradwire.bench.hosts.base import Host, Hosts, Network
from gradwire.bench.hosts.failure import TrainingFailed, stopped_by
from gradwire.bench.hosts.links import Links, links_for
from gradwire.common.errors import ByteMismatchError, DivergenceError
from gradwire.deploy.exit_codes import FAILED
from gradwire.deploy.run.processes import Child, Ended, Event, Inbox, Said, Signalled, killer
from gradwire.server.interfaces import InterfaceCounters

PORT = 50051
ENDING = 60.0  # seconds that processes have to end once the run is over
TICK = 0.2


@dataclass(frozen=True)
class Trained:
    """What a training did and cost.

    Attributes:
        summary: the server's.
        carried: by host, what its interface carried from before the server's start until after the last one's end.
        reached: by round, seconds since the first worker was started at which the server told that it was committed; a
            server that is fast tells of some rounds alone.
    """

    summary: dict[str, Any]
    carried: dict[str, InterfaceCounters]
    reached: dict[int, float]


@dataclass(frozen=True)
class Trainer:
    """Trains on a network: a fresh one for each run, so that every run finds the same silence.

    Attributes:
        inbox: the one that the network's processes speak into; signals arrive there too.
        plaintext: go without the certificates that each run is otherwise given.
        watch: called with each of the server's events.
    """

    network: Network
    inbox: Inbox
    plaintext: bool = False
    watch: Callable[[Mapping[str, Any]], None] = lambda event: None

    def run(self, settings: Mapping[str, Any], workers: int) -> Trained:
        """Train with these settings (those of a run, by name) and one worker on each host, to the end.

        Raises:
            ConfigError: the hosts cannot be made.
            TrainingFailed: a process failed, or a signal came.
            ByteMismatchError: predicted and measured bytes differ.
            DivergenceError: a replica ended with other parameters.
        """
        with self.network.hosts(workers) as hosts, links_for(hosts, plaintext=self.plaintext) as links:
            return _Run(self, hosts, links, {**settings, "workers": workers}).run()


class _Run:
    """One training on hosts that stand."""

    def __init__(self, trainer: Trainer, hosts: Hosts, links: Links, settings: Mapping[str, Any]) -> None:
        self._trainer, self._hosts, self._links, self._settings = trainer, hosts, links, settings
        self._alive: set[Child] = set()
        self._summary: dict[str, Any] | None = None
        self._reached: dict[int, float] = {}
        self._started = self._end_by = float("inf")

    def run(self) -> Trained:
        before = {host.name: host.counters() for host in self._hosts.all}
        with ExitStack() as stack:
            stack.callback(self._kill)
            self._start(self._hosts.server, self._server_words())
            while self._alive:
                self._step()
            carried = {host.name: host.counters() - before[host.name] for host in self._hosts.all}
        assert self._summary is not None
        return Trained(_checked(self._summary), carried, self._reached)

    # ---- starting ---------------------------------------------------------------------------------------------------

    def _start(self, host: Host, words: Sequence[str]) -> None:
        host.start(words)
        self._alive.add(host.child)

    def _server_words(self) -> tuple[str, ...]:
        host = self._hosts.server
        words = ("server", "--listen", f"{host.address}:{PORT}", "--progress", "json")
        settings = (f"--{name.replace('_', '-')}={value}" for name, value in self._settings.items())
        return (*words, "--state-dir", host.scratch("run"), *self._links.server(host), *settings)

    def _start_workers(self) -> None:
        self._started = time.monotonic()
        for i, host in enumerate(self._hosts.workers):
            words = ("worker", "--server", f"{self._hosts.server.address}:{PORT}", "--name", host.name)
            itself = ("--workers", str(i), "--state-dir", host.scratch("run"))
            self._start(host, (*words, *itself, *self._links.worker(host)))

    # ---- events -----------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        event = self._next()
        if isinstance(event, Signalled):
            raise stopped_by(event)
        if isinstance(event, Said):
            self._said(event)
        elif isinstance(event, Ended):
            self._ended(event.child, event.code)
        if time.monotonic() > self._end_by:
            names = ", ".join(sorted(child.name for child in self._alive))
            raise TrainingFailed(f"the run is over, but {names} did not end within {ENDING:g} s")

    def _next(self) -> Event | None:
        try:
            return self._trainer.inbox.get(timeout=TICK)
        except Empty:
            return None

    def _said(self, said: Said) -> None:
        if said.is_error or said.child is not self._hosts.server.child or not said.line.startswith("{"):
            return
        event = json.loads(said.line)
        if event["event"] == "listening":
            self._start_workers()
        elif event["event"] == "round":
            self._reached[event["round"]] = time.monotonic() - self._started
        elif event["event"] == "finished":
            self._summary = event["summary"]
            self._end_by = time.monotonic() + ENDING
        self._trainer.watch(event)

    def _ended(self, child: Child, code: int) -> None:
        self._alive.discard(child)
        if self._summary is not None:
            return  # what the server found wrong is in its summary
        if code:
            raise _blame(child, code)
        if child is self._hosts.server.child:
            raise TrainingFailed("the server ended without a summary", FAILED, child.last_lines)

    def _kill(self) -> None:
        """Leave no process behind."""
        for host in self._hosts.all:
            if host.child in self._alive:
                host.kill()
        while self._alive:
            event = self._next()
            if isinstance(event, Ended):
                self._alive.discard(event.child)


def _blame(child: Child, code: int) -> TrainingFailed:
    """A process's own error message where it ended with one, else its last lines."""
    last = child.last_lines[-1] if child.last_lines else ""
    if last.startswith("gradwire: "):
        return TrainingFailed(f"{child.name}: {last.removeprefix('gradwire: ')}", code)
    by = killer(code)
    how = f"was killed by {by.name}" if by is not None else f"ended with exit code {code}"
    return TrainingFailed(f"{child.name} {how}", FAILED, child.last_lines)


def _checked(summary: dict[str, Any]) -> dict[str, Any]:
    if not summary["predicted_equals_measured"]:
        raise ByteMismatchError(
            f"{summary['codec']}: measured bytes are not those predicted: uplink {summary['uplink']}, downlink "
            f"{summary['downlink']}, expected {summary['predicted']}"
        )
    if not summary["replicas_agree"]:
        raise DivergenceError(f"{summary['codec']}: a replica ended with other parameters than the server")
    return summary
