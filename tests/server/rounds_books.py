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
from gradwire.common.randomness import cohort_place
from gradwire.server.rounds.drawing import Draw
from gradwire.server.rounds.events import AnswerLate, Contribution, DeadlinePassed, Joined, Left, Pushed
from gradwire.server.rounds.state import Phase, start


class Books:
    """Feeds events to ``module.step`` and keeps an account of its own of what it owes to its callers."""

    def __init__(
        self,
        module: ModuleType,
        workers: int,
        total: int,
        needed: int,
        logged: int,
        draw: Draw | None = None,
        opening: int = 0,
    ) -> None:
        self.module, self.workers, self.total, self.needed = module, workers, total, needed
        self.draw, self.opening = draw, opening or workers
        self.open = logged
        self.finished = logged == total
        self.gathering, self.overdue, self.armed, self.announced = True, False, False, self.finished
        self.hosted: dict[int, tuple[int, ...]] = {}
        self.inbox: dict[int, Any] = {}  # accepted pushes of the open round
        self.state = start(workers, total, needed, logged, draw=draw, opening=opening)
        self.drawn = self.may_push_early()

    @property
    def live(self) -> set[int]:
        return {w for workers in self.hosted.values() for w in workers}

    @property
    def due(self) -> set[int]:
        return (self.live & self.drawn) - self.inbox.keys()

    @property
    def least(self) -> int:
        return self.draw.least if self.draw is not None else self.needed

    @property
    def stuck(self) -> bool:
        """Nobody is left to wait for, and they are too few."""
        return self.draw is not None and not self.due and len(self.inbox) < self.needed

    def may_push_early(self) -> set[int]:
        """Nobody is drawn for a cohort before its round opens; without cohorts early pushes are kept."""
        return set() if self.draw is not None and self.draw.cohort else set(range(self.workers))

    def draw_now(self) -> None:
        """Those who have pushed, then the live ones in the order of the seed's permutation of all workers."""
        if self.draw is None:
            return
        permuted = sorted(range(self.workers), key=lambda w: cohort_place(self.draw.seed, self.open, w))
        others = [w for w in permuted if w in self.live and w not in self.inbox]
        room = self.draw.cohort - len(self.inbox) if self.draw.cohort else self.workers
        self.drawn = {*self.inbox, *others[: max(room, 0)]}

    # ---- events -----------------------------------------------------------------------------------------------------

    def join(self, session: int, workers: list[int]) -> None:
        event = Joined(session, tuple(workers))
        if session in self.hosted:
            return self.refused(event, FailedPrecondition)
        if not self.live.isdisjoint(workers) or not set(workers) <= set(range(self.workers)):
            return self.refused(event, PermissionDenied)
        waiting, first = self.gathering and not self.finished, not self.hosted
        self.hosted[session] = event.workers
        opens = waiting and len(self.live) >= self.opening
        effects = self.accepted(event)
        assert bool(effects) == (waiting and (first or opens))
        assert any(type(effect).__name__ == "Opened" for effect in effects) == opens
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
            return self.unchanged(event, AnswerLate(session, round_, tuple(c.worker for c in contributions)))
        if round_ > self.open or self.finished:
            return self.refused(event, OutOfRange)
        taken = dict(self.inbox)
        for c in contributions:
            if c.worker not in self.drawn:
                return self.refused(event, PermissionDenied)
            if taken.setdefault(c.worker, c) != c:
                return self.refused(event, AlreadyExists)
        self.inbox = taken
        self.accepted(event)
        return None

    def push_missing(self, session: int) -> None:
        hosted = reversed(self.hosted.get(session, ()))
        missing = [w for w in hosted if w not in self.inbox and w in self.drawn]
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
        opens = self.gathering and len(self.live) >= self.least
        effects = self.accepted(event)
        assert any(type(effect).__name__ == "Opened" for effect in effects[:1]) == opens
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
        elif kind == "Opened":
            self.opened(effect)
        elif kind == "ArmDeadline":
            assert effect.round == self.open and not self.finished
            self.armed = True
            if self.stuck and not self.gathering:
                assert len(self.live) < self.least, "others could have taken the place of those who left"
                self.gathering, self.overdue = True, False
                self.drawn = self.drawn if self.draw.cohort else self.may_push_early()
        elif kind == "Finish":
            assert self.finished and not self.announced
            self.announced = True

    def opened(self, opened: Any) -> None:
        assert opened.round == self.open and not self.finished
        if self.gathering:
            self.gathering = False
            self.opening = self.opening if self.draw is None else self.least
            told = set(self.hosted)
            self.draw_now()
        else:
            assert self.stuck and len(self.live) >= self.least, "a round is drawn again without need"
            self.draw_now()
            told = {s for s, workers in self.hosted.items() if self.due & set(workers)}
        assert set(opened.sessions) == told, "everybody of whom something is expected is told"
        assert opened.due == self.due

    def committed(self, commit: Any) -> None:
        assert not self.finished and not self.gathering
        assert commit.round == self.open, "rounds commit once, in order"
        assert len(commit.contributions) >= self.needed
        assert not self.due or self.overdue, "a live worker had not pushed, and was not late"
        assert commit.missing == self.due
        assert self.draw is None or not self.draw.cohort or len(commit.contributions) <= self.draw.cohort
        workers = [c.worker for c in commit.contributions]
        assert workers == sorted(self.inbox), "every accepted push is counted once, in worker order"
        assert list(commit.contributions) == [self.inbox[w] for w in workers], "byte for byte"
        self.open, self.inbox, self.overdue, self.armed = self.open + 1, {}, False, False
        self.finished = self.open == self.total
        self.gathering = self.draw is not None and not self.finished and len(self.live) < self.least
        self.drawn = self.may_push_early()
        cohort: tuple[int, ...] = ()
        if not self.finished and not self.gathering:
            self.draw_now()
            cohort = tuple(sorted(self.drawn)) if self.draw is not None and self.draw.cohort else ()
        assert commit.cohort == cohort, "the entry names who is due in the next round"

    def check(self) -> None:
        ready = (not self.due or self.overdue) and len(self.inbox) >= self.needed
        assert self.finished or self.gathering or not self.stuck, "nobody is waited for"
        assert self.finished or not self.gathering or len(self.live) < self.opening, "enough are here"
        assert self.finished or self.gathering or not ready, "a round that could commit has not"
        waiting = not self.finished and (bool(self.hosted) if self.gathering else not self.overdue)
        assert self.armed or not waiting, "no deadline will ever end this wait"
        assert self.announced == self.finished, "the end is announced once, when it has come"
        state = self.state
        expected = Phase.FINISHED if self.finished else Phase.GATHERING if self.gathering else Phase.OPEN
        assert (state.round, state.phase, state.overdue) == (self.open, expected, self.overdue)
        assert dict(state.sessions) == self.hosted
        assert dict(state.pushed) == self.inbox
        assert (set(range(self.workers)) if state.drawn is None else state.drawn) == self.drawn
        assert state.due == self.due
