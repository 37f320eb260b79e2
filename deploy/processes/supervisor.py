"""One run: a server, its workers, and what happens when one of them exits.

    starting ──server listens──▶ running ──summary──▶ ending ──all exited, or stopped──▶ over

A child that a signal killed is restarted, the server at the address that its workers know; a child that exits with an
error ends the run. The server decides when a run is over, and its own limits see to it that it does: as long as it is
alive it is waited for. Once it has given the summary nothing depends on the other children any more; those that are
silent for too long are stopped. One thread decides everything: it starts the children, and it alone handles events.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from gradwire.deploy.exit_codes import BUDGET_SPENT, FAILED
from gradwire.deploy.processes.child import Child
from gradwire.deploy.processes.events import (
    Exited,
    Inbox,
    OutputLine,
    StopRequested,
    killing_signal,
    next_event,
)
from gradwire.deploy.processes.outcome import Outcome, RunEnded, exited_with, stopped_by
from gradwire.deploy.processes.plan import Display, Limits, Plan
from gradwire.deploy.processes.stopping import TICK, stop_children


class Supervisor:
    """Runs a plan once.

    Args:
        plan: what to start; its children's events go to the inbox.
        inbox: signals that ask this process to stop arrive here too.
        display: shows what happens.
        limits: of restarts and waiting.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        plan: Plan,
        inbox: Inbox,
        display: Display,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._inbox, self._display, self._clock = plan, inbox, display, clock
        self._limits = limits or Limits()
        self._workers = {worker.child: worker for worker in plan.workers}
        self._address = plan.listen
        self._spare = plan.spare
        self._alive: set[Child] = set()
        self._joined: set[str] = set()  # names of workers that the present server has seen
        self._restarts: Counter[str] = Counter()
        self._outcome = Outcome()
        self._last_sign = 0.0  # when a child last said something or exited
        self._stop_late_at: float | None = None

    def run(self) -> Outcome:
        """Start everything and supervise it to its end; no process is left."""
        try:
            self._start(self._plan.server)
            while self._alive and not self._silent_after_the_end():
                self._step()
        except RunEnded as end:
            self._outcome.failure = end
        finally:
            stop_children(self._alive, self._inbox, self._limits.grace)
        self._outcome.restarts = dict(self._restarts)
        return self._outcome

    # ---- starting ---------------------------------------------------------------------------------------------------

    def _start(self, child: Child) -> None:
        if child is self._plan.server:
            words: tuple[str, ...] = ("server", "--listen", self._address, "--progress", "json")
            words += self._plan.arguments
        else:
            words = ("worker", "--server", self._address, *self._workers[child].arguments)
        self._joined.discard(child.name)
        child.start(words)
        self._alive.add(child)

    def _restart(self, child: Child, by: signal.Signals) -> None:
        killed, limit = f"{child.name} was killed by {by.name}", self._limits.restarts
        if self._restarts[child.name] == limit:
            times = f" {limit + 1} times" if limit else ""
            hint = "; is there enough memory?" if by is signal.SIGKILL else ""
            raise RunEnded(f"{killed}{times}{hint}", FAILED, tuple(child.last_lines), resumable=True)
        self._restarts[child.name] += 1
        self._display.note(f"{killed}: restarting it ({self._restarts[child.name]} of {limit})")
        self._start(child)

    # ---- events -----------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        event = next_event(self._inbox, TICK)
        if event is not None:
            self._last_sign = self._clock()
        if isinstance(event, StopRequested):
            self._display.note(
                f"{signal.Signals(event.number).name}: stopping; a second signal stops at once"
            )
            raise stopped_by(event)
        if isinstance(event, Exited):
            self._exited(event.child, event.code)
        elif isinstance(event, OutputLine):
            self._output(event)
        self._display.tick()
        self._stop_late_workers()

    def _silent_after_the_end(self) -> bool:
        """Whether children are left that say nothing although the run has its summary: they are stopped."""
        silent = self._clock() - self._last_sign
        if self._outcome.summary is None or silent <= self._limits.ending:
            return False
        names = ", ".join(sorted(child.name for child in self._alive))
        self._display.note(f"the run is over and {names} said nothing for {silent:.0f} s: stopping")
        return True

    def _output(self, output: OutputLine) -> None:
        from_server = output.child is self._plan.server and not output.is_error
        event = _server_event(output.line) if from_server else None
        if event is None:
            self._display.log(output.child.name, output.line)
            return
        self._display.show(event)
        if event["event"] == "listening":
            self._listening(event)
        elif event["event"] == "joined":
            self._joined.add(str(event["process"]))
        elif event["event"] == "finished":
            self._outcome.summary = event["summary"]

    def _listening(self, event: Mapping[str, Any]) -> None:
        self._address = str(event["address"])
        self._joined.clear()
        if event.get("over"):  # no worker is needed: the server exits by itself
            return
        if not self._alive & self._workers.keys():  # none yet, or all had exited when the server was killed
            for worker in self._workers:
                self._start(worker)

    def _exited(self, child: Child, code: int) -> None:
        self._alive.discard(child)
        by = killing_signal(code)
        finished = self._outcome.summary is not None
        if by is not None and not finished:
            self._restart(child, by)
        elif code == 0 and child is self._plan.server and not finished:
            raise RunEnded("the server exited without a summary", FAILED, tuple(child.last_lines))
        elif code == 0 or by is not None:
            self._done(child)
        elif code == BUDGET_SPENT and self._can_spare(child):
            self._display.note(f"{exited_with(child, code)}; the run goes on without it")
        else:
            raise exited_with(child, code)

    def _done(self, child: Child) -> None:
        if child is self._plan.server:
            self._stop_late_at = self._clock() + self._limits.late

    def _can_spare(self, child: Child) -> bool:
        """Whether the run can do without this child; if so, it has to from now on."""
        if child is self._plan.server:
            return False
        self._spare -= self._workers[child].hosted
        return self._spare >= 0

    def _stop_late_workers(self) -> None:
        """The server has exited: a worker that has not joined would look for it in vain."""
        if self._stop_late_at is None or self._clock() < self._stop_late_at:
            return
        self._stop_late_at = None
        for child in self._alive:
            if child.name not in self._joined:
                self._display.note(f"{child.name} came too late for the run: stopping it")
                child.send(signal.SIGTERM)


def _server_event(line: str) -> dict[str, Any] | None:
    """An event from a line of the server's output; None where it is something else."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
