"""One run on this machine: a server, its workers, and what is done when one of them ends.

    starting ──server listens──▶ running ──finished, or the server or all workers ended──▶ ending ──all ended──▶ over

A child that a signal killed is started again, the server at the address that its workers know; a child that gave up
by itself ends the run. One thread decides everything: it starts the children, and it alone handles events.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from gradwire.deploy.exit_codes import BUDGET_SPENT, FAILED
from gradwire.deploy.run.processes import (
    PROGRAM,
    Child,
    Ended,
    Event,
    Inbox,
    Said,
    Signalled,
    environment_for,
    killer,
    signals_into,
)

RESTARTS = 3  # of one child; what kills it more often is no accident
FREE_PORT = "127.0.0.1:0"
TICK = 0.2  # seconds between looks at the clock


class Display(Protocol):
    """What the supervisor tells: the server's events, remarks, and the children's own lines."""

    def show(self, event: Mapping[str, Any]) -> None:
        """An event of the server."""

    def note(self, text: str) -> None:
        """A remark of the supervisor."""

    def log(self, name: str, line: str) -> None:
        """A line that a child wrote."""

    def tick(self) -> None:
        """Time has passed."""


@dataclass(frozen=True)
class Plan:
    """What to start.

    Attributes:
        server: arguments of ``gradwire server``, its address apart.
        workers: arguments of ``gradwire worker``, one tuple a process, the server's address apart.
        program: the command that takes these arguments.
        hosted: logical workers of each process.
        spare: logical workers that the run can do without, should their privacy budget be spent.
        grace: seconds that children have to stop when they are asked to.
        ending: seconds that children have to end by themselves once the run is over.
        late: seconds that workers which the server has not seen have for that once it has left.
    """

    server: tuple[str, ...]
    workers: tuple[tuple[str, ...], ...]
    program: tuple[str, ...] = PROGRAM
    hosted: tuple[int, ...] = ()
    spare: int = 0
    grace: float = 10.0
    ending: float = 60.0
    late: float = 5.0


@dataclass(frozen=True)
class Failure:
    """Why a run ended before its time.

    Attributes:
        lines: the last lines of the child to blame, where its own message says too little.
        can_go_on: nothing is wrong with the run itself: started again, it goes on.
    """

    message: str
    code: int = FAILED
    lines: tuple[str, ...] = ()
    can_go_on: bool = False


@dataclass
class Outcome:
    """What came of a run."""

    summary: dict[str, Any] | None = None
    failure: Failure | None = None
    restarts: dict[str, int] = field(default_factory=dict)


class _RunEndsError(Exception):
    """The run is to end now."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Supervisor:
    """Runs a plan once."""

    def __init__(self, plan: Plan, display: Display) -> None:
        self._plan, self._display = plan, display
        self._inbox: Inbox = SimpleQueue()
        environment = environment_for(len(plan.workers))
        self._server = Child("server", self._inbox)
        self._workers = {
            Child(f"worker-{i}", self._inbox, environment): arguments
            for i, arguments in enumerate(plan.workers)
        }
        self._hosted = dict(zip(self._workers, plan.hosted, strict=False))
        self._spare = plan.spare
        self._address = FREE_PORT
        self._alive: set[Child] = set()
        self._joined: set[str] = set()  # names of workers that the present server has seen
        self._outcome = Outcome()
        self._end_by: float | None = None
        self._dismiss_at: float | None = None

    def run(self) -> Outcome:
        """Start everything, see it through, leave no process behind."""
        with signals_into(self._inbox):
            try:
                self._start(self._server)
                while self._alive:
                    self._step()
            except _RunEndsError as end:
                self._outcome.failure = end.failure
            finally:
                self._stop()
        children = [self._server, *self._workers]
        self._outcome.restarts = {child.name: child.restarts for child in children if child.restarts}
        return self._outcome

    # ---- starting ---------------------------------------------------------------------------------------------------

    def _start(self, child: Child) -> None:
        if child is self._server:
            arguments: tuple[str, ...] = ("server", "--listen", self._address, "--progress", "json")
            arguments += self._plan.server
        else:
            arguments = ("worker", "--server", self._address, *self._workers[child])
        self._joined.discard(child.name)
        child.start((*self._plan.program, *arguments))
        self._alive.add(child)

    def _restart(self, child: Child, by: signal.Signals) -> None:
        if child.restarts == RESTARTS:
            hint = "; is there enough memory?" if by is signal.SIGKILL else ""
            message = f"{child.name} was killed by {by.name} {RESTARTS + 1} times{hint}"
            raise _RunEndsError(Failure(message, FAILED, tuple(child.last_lines), can_go_on=True))
        child.restarts += 1
        again = f"starting it again ({child.restarts} of {RESTARTS})"
        self._display.note(f"{child.name} was killed by {by.name}: {again}")
        self._start(child)

    # ---- events -----------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        event = self._next(TICK)
        if isinstance(event, Signalled):
            name = signal.Signals(event.number).name
            self._display.note(f"{name}: stopping; once more stops at once")
            raise _RunEndsError(Failure(f"stopped by {name}", 128 + event.number, can_go_on=True))
        if isinstance(event, Ended):
            self._ended(event.child, event.code)
        elif isinstance(event, Said):
            self._said(event)
        self._display.tick()
        self._dismiss_the_late()
        if self._end_by is not None and time.monotonic() > self._end_by:
            names = ", ".join(sorted(child.name for child in self._alive))
            message = f"the run is over, but {names} did not end within {self._plan.ending:g} s"
            raise _RunEndsError(Failure(message))

    def _next(self, seconds: float) -> Event | None:
        try:
            return self._inbox.get(timeout=seconds)
        except Empty:
            return None

    def _said(self, said: Said) -> None:
        row = _row(said.line) if said.child is self._server and not said.is_error else None
        if row is None:
            self._display.log(said.child.name, said.line)
            return
        if row["event"] == "listening":
            self._listening(row)
        elif row["event"] == "joined":
            self._joined.add(str(row["process"]))
        elif row["event"] == "finished":
            self._outcome.summary = row["summary"]
            self._ending()
        self._display.show(row)

    def _listening(self, row: Mapping[str, Any]) -> None:
        self._address = str(row["address"])
        self._joined.clear()
        if row.get("over"):  # nobody is needed: the server leaves by itself
            return
        if not self._alive & self._workers.keys():  # none yet, or all were done when the server was killed
            self._end_by = None
            for worker in self._workers:
                self._start(worker)

    def _ended(self, child: Child, code: int) -> None:
        self._alive.discard(child)
        by = killer(code)
        if by is not None and self._outcome.summary is None:
            self._restart(child, by)
        elif code == 0 and child is self._server and self._outcome.summary is None:
            message = "the server ended without a summary"
            raise _RunEndsError(Failure(message, FAILED, tuple(child.last_lines)))
        elif code == 0 or by is not None:
            if child is self._server:
                self._dismiss_at = time.monotonic() + self._plan.late
            if child is self._server or not self._alive & self._workers.keys():
                self._ending()
        elif code == BUDGET_SPENT and self._spares(child):
            self._display.note(f"{_gave_up(child, code).message}; the run goes on without it")
        else:
            raise _RunEndsError(_gave_up(child, code))

    def _spares(self, child: Child) -> bool:
        """Whether the run can do without this child for good, as it has to from now on."""
        self._spare -= self._hosted.get(child, self._spare + 1)
        return self._spare >= 0

    def _dismiss_the_late(self) -> None:
        """The server has left: a worker that did not come in time would look for it in vain."""
        if self._dismiss_at is None or time.monotonic() < self._dismiss_at:
            return
        self._dismiss_at = None
        for child in self._alive:
            if child.name not in self._joined:
                self._display.note(f"{child.name} came too late for the run: stopping it")
                child.send(signal.SIGTERM)

    def _ending(self) -> None:
        if self._end_by is None:
            self._end_by = time.monotonic() + self._plan.ending

    # ---- stopping ---------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Ask what is alive to stop, and kill what has not after the grace period, or at a second request."""
        for child in self._alive:
            child.send(signal.SIGTERM)
        kill_at = time.monotonic() + self._plan.grace
        killed = False
        while self._alive:
            event = self._next(TICK)
            if isinstance(event, Ended):
                self._alive.discard(event.child)
            if not killed and (isinstance(event, Signalled) or time.monotonic() > kill_at):
                killed = True
                for child in self._alive:
                    child.send(signal.SIGKILL)


def _row(line: str) -> dict[str, Any] | None:
    """An event from a line of the server's output; None where it is something else."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "event" in row else None


def _gave_up(child: Child, code: int) -> Failure:
    """A child's own error message where it ended with one, else its last lines."""
    last = child.last_lines[-1] if child.last_lines else ""
    who = "" if child.name == "server" else f"{child.name}: "
    if last.startswith("gradwire: "):
        return Failure(who + last.removeprefix("gradwire: "), code)
    return Failure(f"{child.name} ended with exit code {code}", FAILED, tuple(child.last_lines))
