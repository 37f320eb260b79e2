"""The round state machine under random events."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gradwire.server.rounds import machine
from gradwire.server.rounds.events import Commit, Contribution, DeadlinePassed, Event, Joined, Left, Pushed
from gradwire.server.rounds.machine import step
from gradwire.server.rounds.state import State, start
from tests.server.rounds_books import Books
from tests.server.rounds_configs import configs, draw_of

WORKERS = 4
SESSIONS = st.integers(0, 4)
IDS = st.integers(0, WORKERS - 1)
PAYLOADS = st.sampled_from([b"", b"one", b"two"])
OFFSETS = st.sampled_from([0, 0, 0, 0, -1, 1])


class RoundsMachine(RuleBasedStateMachine):
    """Sends what well- and ill-behaved processes could send; the books judge what comes of it."""

    @initialize(workers=st.integers(1, WORKERS), total=st.integers(1, 3), data=st.data())
    def begin(self, workers: int, total: int, data: st.DataObject) -> None:
        config = data.draw(configs(workers, total), label="config")
        logged = data.draw(st.integers(0, total), label="rounds in the log")
        self.books = Books(machine, workers, total, config.needed, logged, draw_of(config), config.opening)

    @rule(session=SESSIONS, workers=st.lists(st.integers(-1, WORKERS), max_size=3, unique=True))
    def join(self, session: int, workers: list[int]) -> None:
        self.books.join(session, workers)

    @rule(session=SESSIONS)
    def join_missing(self, session: int) -> None:
        self.books.join_missing(session)

    @rule(session=SESSIONS)
    def leave(self, session: int) -> None:
        self.books.leave(session)

    @rule(
        session=SESSIONS,
        offset=OFFSETS,
        what=st.lists(st.tuples(IDS, PAYLOADS, st.integers(1, 2)), max_size=2),
    )
    def push(self, session: int, offset: int, what: list[tuple[int, bytes, int]]) -> None:
        self.books.push(session, self.books.open + offset, what)

    @rule(session=SESSIONS)
    def push_missing(self, session: int) -> None:
        self.books.push_missing(session)

    @rule(session=SESSIONS)
    def push_again(self, session: int) -> None:
        self.books.push_again(session)

    @rule(offset=OFFSETS)
    def deadline(self, offset: int) -> None:
        self.books.deadline(self.books.open + offset)

    @invariant()
    def books_and_state_agree(self) -> None:
        self.books.check()


TestRounds = RoundsMachine.TestCase
TestRounds.settings = settings(max_examples=100, stateful_step_count=40)


# ---- with everyone needed, the log depends on the payloads alone ----------------------------------------------------

HOSTS = {"a": (2, 0), "b": (1,), "c": (4, 3)}
ROUNDS = 3


class Fleet:
    """Processes that push what they owe for the open round whenever they are told to, through any number of streams."""

    def __init__(self) -> None:
        self.state: State = start(5, ROUNDS, needed=5)
        self.commits: list[Commit] = []
        self.streams: dict[str, int] = {}
        self.numbers = count()

    def feed(self, event: Event) -> None:
        self.state, effects = step(self.state, event)
        self.commits += [effect for effect in effects if isinstance(effect, Commit)]

    def join(self, process: str) -> None:
        if process not in self.streams:
            self.streams[process] = next(self.numbers)
            self.feed(Joined(self.streams[process], HOSTS[process]))

    def leave(self, process: str) -> None:
        self.feed(Left(self.streams.pop(process, -1)))

    def push(self, process: str, back: int = 0, only: int | None = None) -> None:
        round_ = min(self.state.round, ROUNDS - 1) - back
        if process in self.streams and round_ >= 0:
            contributions = tuple(owed(round_, w) for w in HOSTS[process][:only])
            self.feed(Pushed(self.streams[process], round_, contributions))

    def push_late(self, process: str) -> None:
        self.push(process, back=1)

    def push_one(self, process: str) -> None:
        self.push(process, only=1)

    def deadline(self, _: str) -> None:
        self.feed(DeadlinePassed(self.state.round))


def owed(round_: int, worker: int) -> Contribution:
    return Contribution(worker, b"%d of %d" % (round_, worker), examples=1 + worker)


ACTIONS = [Fleet.join, Fleet.leave, Fleet.push, Fleet.push_late, Fleet.push_one, Fleet.deadline]
Action = tuple[Callable[[Fleet, str], None], str]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(sorted(HOSTS))), max_size=60))
def test_with_everyone_needed_commits_depend_on_payloads_alone(actions: list[Action]) -> None:
    fleet = Fleet()
    for action, process in actions:
        action(fleet, process)
    for process in HOSTS:
        fleet.join(process)
    for process in [*HOSTS] * ROUNDS:
        fleet.push(process)
    assert fleet.commits == [Commit(r, tuple(owed(r, w) for w in range(5))) for r in range(ROUNDS)]
