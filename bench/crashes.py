"""Random kills of joined programs, their wire processes and the server, and what must hold all the same.

Every kill is -9. After the run: no round that a site was given is lost (each site's journal agrees with the log), every
round holds each worker at most once and no payload is in two rounds (no update is counted twice), and every program
either went on or ended with one line and was started again.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from gradwire.common.errors import GradwireError
from gradwire.deploy.processes.child import Child
from gradwire.deploy.processes.events import Exited, Inbox, OutputLine, next_event
from gradwire.server.log.run_log import RunLog
from gradwire.server.replay import replay

SILENCE = 180.0  # seconds without any event after which the run hangs
VICTIMS = ("program", "wire process", "server")


@dataclass(frozen=True, kw_only=True)
class Crashes:
    """What is run, and how often something in it is killed."""

    sites: int
    kills: int
    every: int  # rounds from one kill to the next, at least
    dim: int
    seed: int
    options: Sequence[str] = ()  # further ones of the server

    @property
    def rounds(self) -> int:
        """Of the run: more than the kills need, for rounds go on between an event and a kill."""
        return 5 * self.every * (self.kills + 2)


@dataclass
class Outcome:
    """What happened: kills by victim, ends of programs by their last line, and the log that remained."""

    kills: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    journaled: int = 0
    seconds: float = 0.0
    summary: dict[str, Any] = field(default_factory=dict)


class CrashTest:
    """One run with kills."""

    def __init__(self, plan: Crashes, folder: Path, say: Callable[[str], None]) -> None:
        """Run in a folder, which holds the state of all processes."""
        self._plan, self._folder, self._say = plan, folder, say
        self._random = random.Random(plan.seed)
        self._inbox: Inbox = SimpleQueue()
        self._server = Child("server", self._inbox)
        program = (sys.executable, "-m", "gradwire.bench.crash_site")
        self._sites = [Child(f"site-{i}", self._inbox, program) for i in range(plan.sites)]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        self._running: dict[str, bool] = {}
        self._outcome = Outcome()
        self._round, self._last_kill = 0, 0

    def run(self) -> Outcome:
        """Kill until there were enough kills and the run is finished, then check what remained.

        Raises:
            AssertionError: a round was lost or an update counted twice.
            GradwireError: nothing happened for minutes.
        """
        began = time.monotonic()
        self._start(self._server)
        for site in self._sites:
            self._start(site)
        try:
            while any(self._running.values()):
                self._handle()
        finally:
            for child in (self._server, *self._sites):
                if self._running[child.name]:
                    child.send(signal.SIGKILL)
        self._outcome.seconds = time.monotonic() - began
        self._check()
        return self._outcome

    # ---- processes -------------------------------------------------------------------------------------------

    def _start(self, child: Child) -> None:
        self._running[child.name] = True
        plan = self._plan
        if child is self._server:
            child.start(
                (
                    "server", "--task=own", f"--workers={plan.sites}", f"--rounds={plan.rounds}", "--digest-every=1",
                    f"--listen={self._address}", f"--state-dir={self._folder / 'server'}", "--progress=json",
                    "--await-workers", f"--summary={self._folder / 'summary.json'}", *plan.options,
                )
            )  # fmt: skip
        else:
            child.start((self._address, child.name, str(self._folder), str(plan.dim)))

    def _handle(self) -> None:
        event = next_event(self._inbox, SILENCE)
        if event is None:
            raise GradwireError(
                f"nothing happened for {SILENCE:g} s after round {self._round}: the run hangs"
            )
        if isinstance(event, Exited):
            self._exited(event)
        elif isinstance(event, OutputLine) and event.child is self._server and not event.is_error:
            row = json.loads(event.line)
            if row["event"] == "round":
                self._round = max(self._round, row["round"])
                self._kill_if_due()

    def _exited(self, event: Exited) -> None:
        child = event.child
        self._running[child.name] = False
        finished = event.code == 0
        last = child.last_lines[-1] if child.last_lines else ""
        kind = f"{'site' if child is not self._server else 'server'} exit {event.code}"
        if event.code > 0:
            kind += f": {last.split(':')[0]}: {last.partition(': ')[2][:90]}"
        self._outcome.ends[kind] += 1
        if not finished:
            self._start(child)

    def _kill_if_due(self) -> None:
        done = sum(self._outcome.kills.values())
        plan = self._plan
        # A program that is killed after its last round would find no server when it starts again.
        over = done == plan.kills or self._round + plan.every >= plan.rounds
        if over or self._round < self._last_kill + plan.every:
            return
        victim = self._random.choice(VICTIMS)
        if self._kill(victim, self._random.choice(self._sites)):
            self._last_kill = self._round
            self._outcome.kills[victim] += 1
            if (done + 1) % 20 == 0:
                self._say(f"{done + 1} of {self._plan.kills} kills, round {self._round}")

    def _kill(self, victim: str, site: Child) -> bool:
        """Kill it; False where it is not running."""
        if victim == "server":
            self._server.send(signal.SIGKILL)
            return self._running["server"]
        if not self._running[site.name]:
            return False
        if victim == "program":
            site.send(signal.SIGKILL)
            return True
        wires = _children(site.pid)
        for pid in wires:
            os.kill(pid, signal.SIGKILL)
        return bool(wires)

    # ---- what must hold --------------------------------------------------------------------------------------

    def _check(self) -> None:
        with RunLog.open_read_only(self._folder / "server") as log:
            records = list(log.read(0, log.next_round))
            digests = {r + 1: log.digest_at(r) for r in range(log.next_round)}
            replayed = replay(log).model.digest
        rounds = self._outcome.rounds = len(records)
        assert [record.round for record in records] == list(range(rounds)), "a round is missing in the log"
        assert all(len(set(record.workers)) == len(record.workers) for record in records)
        payloads = Counter(payload for record in records for payload in record.payloads)
        twice = [payload for payload, count in payloads.items() if count > 1]
        assert not twice, f"{len(twice)} updates were counted twice"
        for site in self._sites:
            for line in (self._folder / f"{site.name}.journal").read_text().splitlines():
                round_, digest, _ = line.split()
                known = digests.get(int(round_))
                assert round_ == "0" or known == int(digest, 16), (
                    f"{site.name} was given another round {round_}"
                )
                self._outcome.journaled += 1
        self._outcome.summary = json.loads((self._folder / "summary.json").read_text())
        assert int(self._outcome.summary["digest"], 16) == replayed == digests[rounds]
        assert self._outcome.summary["predicted_equals_measured"]


def _children(pid: int | None) -> list[int]:
    """The child processes of a process, as Linux lists them."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in text.split()]
