"""Plain books beside the round state machine: they say what must come of every event, and check that it did."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from gradwire.common.errors import (
    AlreadyExists,
    FailedPrecondition,
    OutOfRange,
    PermissionDenied,
    WireError,
)
from gradwire.server.rounds.events import AnswerLate, Contribution, DeadlinePassed, Joined, Left, Pushed
from gradwire.server.rounds.state import Phase, start


class Books:
    """Feeds events to ``module.step`` and keeps an account of its own of what it owes to its callers."""

    def __init__(self, module: ModuleType, workers: int, total: int, needed: int, logged: int) -> None:
        self.module, self.workers, self.total, self.needed = module, workers, total, needed
        self.open = logged
        self.finished = logged == total
        self.gathering, self.overdue, self.armed, self.announced = True, False, False, self.finished
        self.hosted: dict[int, tuple[int, ...]] = {}
        self.inbox: dict[int, Any] = {}  # accepted pushes of the open round
        self.state = start(workers, total, needed, logged)

    @property
    def live(self) -> set[int]:
        return {w for workers in self.hosted.values() for w in workers}

    # ---- events -----------------------------------------------------------------------------------------------------

    def join(self, session: int, workers: list[int]) -> None:
        event = Joined(session, tuple(workers))
        if session in self.hosted:
            return self.refused(event, FailedPrecondition)
        if not self.live.isdisjoint(workers) or not set(workers) <= set(range(self.workers)):
            return self.refused(event, PermissionDenied)
        waiting, first = self.gathering and not self.finished, not self.hosted
        self.hosted[session] = event.workers
        opens = waiting and len(self.live) == self.workers
        self.gathering &= not opens
        assert bool(self.accepted(event)) == (waiting and (first or opens))
        return None

    def join_missing(self, session: int) -> None:
        self.join(session, sorted(set(range(self.workers)) - self.live))

    def leave(self, session: int) -> None:
        self.hosted.pop(session, None)
        self.accepted(Left(session))

    def push(self, session: int, round_: int, what: list[tuple[int, bytes, int]]) -> None:
        contributions = tuple(Contribution(*each) for each in what)
        event = Pushed(session, round_, contributions)
        if any(c.worker not in self.hosted.get(session, ()) for c in contributions):
            return self.refused(event, PermissionDenied)
        if round_ < self.open:
            return self.unchanged(event, AnswerLate(session, round_))
        if round_ > self.open or self.finished:
            return self.refused(event, OutOfRange)
        taken = dict(self.inbox)
        if any(taken.setdefault(c.worker, c) != c for c in contributions):
            return self.refused(event, AlreadyExists)
        self.inbox = taken
        self.accepted(event)
        return None

    def push_missing(self, session: int) -> None:
        missing = [w for w in reversed(self.hosted.get(session, ())) if w not in self.inbox]
        self.push(session, self.open, [(w, b"round %d" % self.open, 1) for w in missing])

    def push_again(self, session: int) -> None:
        again = tuple(self.inbox[w] for w in self.hosted.get(session, ()) if w in self.inbox)
        if not self.finished:
            self.unchanged(Pushed(session, self.open, again))

    def deadline(self, round_: int) -> None:
        event = DeadlinePassed(round_)
        if round_ != self.open or self.finished:
            return self.unchanged(event)
        self.armed = False
        self.overdue = not self.gathering
        self.gathering &= len(self.live) < self.needed
        self.accepted(event)
        return None

    # ---- what must come of them -------------------------------------------------------------------------------------

    def refused(self, event: Any, error: type[WireError]) -> None:
        before, raised = repr(self.state), None
        try:
            self.module.step(self.state, event)
        except WireError as refusal:
            raised = type(refusal)
        assert raised is error
        assert repr(self.state) == before, "a refusal changes nothing"

    def unchanged(self, event: Any, *effects: Any) -> None:
        before = self.state
        assert self.accepted(event) == effects
        assert self.state == before

    def accepted(self, event: Any) -> tuple[Any, ...]:
        before, frozen = self.state, repr(self.state)
        try:
            self.state, effects = self.module.step(before, event)
        except WireError as refusal:
            raise AssertionError(f"{event} was refused") from refusal
        assert repr(before) == frozen, "step changed its input"
        for effect in effects:
            self.performed(effect)
        self.check()
        return tuple(effects)

    def performed(self, effect: Any) -> None:
        kind = type(effect).__name__
        if kind == "Commit":
            self.committed(effect)
        elif kind == "ArmDeadline":
            assert effect.round == self.open and not self.finished
            self.armed = True
        elif kind == "Finish":
            assert self.finished and not self.announced
            self.announced = True

    def committed(self, commit: Any) -> None:
        assert not self.finished and not self.gathering
        assert commit.round == self.open, "rounds commit once, in order"
        assert len(commit.contributions) >= self.needed
        assert self.live <= self.inbox.keys() or self.overdue, (
            "a live worker had not pushed, and was not late"
        )
        workers = [c.worker for c in commit.contributions]
        assert workers == sorted(self.inbox), "every accepted push is counted once, in worker order"
        assert list(commit.contributions) == [self.inbox[w] for w in workers], "byte for byte"
        self.open, self.inbox, self.overdue, self.armed = self.open + 1, {}, False, False
        self.finished = self.open == self.total

    def check(self) -> None:
        ready = (self.live <= self.inbox.keys() or self.overdue) and len(self.inbox) >= self.needed
        assert self.finished or self.gathering or not ready, "a round that could commit has not"
        waiting = not self.finished and (bool(self.hosted) if self.gathering else not self.overdue)
        assert self.armed or not waiting, "no deadline will ever end this wait"
        assert self.announced == self.finished, "the end is announced once, when it has come"
        state = self.state
        expected = Phase.FINISHED if self.finished else Phase.GATHERING if self.gathering else Phase.OPEN
        assert (state.round, state.phase, state.overdue) == (self.open, expected, self.overdue)
        assert dict(state.sessions) == self.hosted
        assert dict(state.pushed) == self.inbox
