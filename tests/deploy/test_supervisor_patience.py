"""How long the supervisor waits, by a clock that the test turns: no process is started and nothing depends on load."""

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from gradwire.deploy.processes.child import Child
from gradwire.deploy.processes.events import Event, Exited, OutputLine
from gradwire.deploy.processes.outcome import Outcome
from gradwire.deploy.processes.plan import Limits, Plan, Worker
from gradwire.deploy.processes.supervisor import Supervisor

PATIENCE = Limits().ending


class Puppet(Child):
    """A child that does what the script says, and exits when it is asked to."""

    def __init__(self, name: str, inbox: "SimpleQueue[Event]") -> None:
        super().__init__(name, inbox)
        self.inbox = inbox
        self.sent: list[signal.Signals] = []

    def start(self, arguments: Sequence[str]) -> None:
        pass

    def send(self, number: signal.Signals) -> None:
        self.sent.append(number)
        self.inbox.put(Exited(self, -number))

    def say(self, event: str, **row: Any) -> None:
        self.inbox.put(OutputLine(self, json.dumps({"event": event, **row}), is_error=False))

    def exit(self) -> None:
        self.inbox.put(Exited(self, 0))


class Theatre:
    """A run of puppets. The script goes one act further whenever all events are handled."""

    def __init__(self) -> None:
        self.inbox: SimpleQueue[Event] = SimpleQueue()
        self.server, self.first, self.second = (
            Puppet(n, self.inbox) for n in ("server", "worker-0", "worker-1")
        )
        self.now = 0.0
        self.notes: list[str] = []
        self._acts: list[Callable[[], None]] = []

    def play(self, *acts: Callable[[], None]) -> Outcome:
        self._acts = [self.begin, *acts]
        plan = Plan(self.server, (), tuple(Worker(child, ()) for child in (self.first, self.second)))
        self.server.say("warning", message="the curtain rises")
        return Supervisor(plan, self.inbox, self, clock=lambda: self.now).run()

    def begin(self) -> None:
        self.server.say("listening", address="127.0.0.1:1", round=0)
        for worker in (self.first, self.second):
            self.server.say("joined", process=worker.name, workers=[0], expected=2, live=1)

    def finish(self) -> None:
        self.server.say("finished", summary={"digest": "00ff"})

    def show(self, event: Mapping[str, Any]) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def log(self, name: str, line: str) -> None:
        pass

    def tick(self) -> None:
        if self.inbox.empty() and self._acts:
            self._acts.pop(0)()

    def pass_time(self, seconds: float) -> Callable[[], None]:
        def act() -> None:
            self.now += seconds

        return act

    @property
    def all_sent(self) -> list[signal.Signals]:
        return [*self.server.sent, *self.first.sent, *self.second.sent]


def test_finished_run_waits_for_children_that_still_speak() -> None:
    theatre = Theatre()

    def speaks() -> None:
        theatre.now += 0.9 * PATIENCE
        theatre.inbox.put(OutputLine(theatre.first, "still evaluating", is_error=True))

    def all_exit() -> None:
        for child in (theatre.server, theatre.first, theatre.second):
            child.exit()

    outcome = theatre.play(theatre.finish, *[speaks] * 10, all_exit)
    assert outcome.summary == {"digest": "00ff"} and outcome.failure is None
    assert theatre.notes == [] and theatre.all_sent == []


def test_finished_run_is_no_failure_because_a_child_stays() -> None:
    theatre = Theatre()

    def others_exit() -> None:
        theatre.server.exit()
        theatre.second.exit()

    outcome = theatre.play(theatre.finish, others_exit, theatre.pass_time(PATIENCE + 1))
    assert outcome.summary == {"digest": "00ff"} and outcome.failure is None
    assert theatre.notes == ["the run is over and worker-0 said nothing for 61 s: stopping"]
    assert theatre.all_sent == theatre.first.sent == [signal.SIGTERM]


def test_server_that_has_no_summary_yet_is_waited_for() -> None:
    theatre = Theatre()

    def workers_exit() -> None:
        theatre.first.exit()
        theatre.second.exit()

    outcome = theatre.play(workers_exit, theatre.pass_time(1e6), theatre.finish, theatre.server.exit)
    assert outcome.summary == {"digest": "00ff"} and outcome.failure is None
    assert theatre.notes == [] and theatre.all_sent == []


def test_silence_before_the_end_means_nothing() -> None:
    theatre = Theatre()

    def all_exit() -> None:
        for child in (theatre.server, theatre.first, theatre.second):
            child.exit()

    outcome = theatre.play(theatre.pass_time(1e6), theatre.finish, all_exit)
    assert outcome.failure is None and theatre.notes == [] and theatre.all_sent == []
