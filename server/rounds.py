"""The round state machine: what the server does about each event, with no socket, clock or thread in it.

``step(state, event)`` returns the next state and the effects that the caller must carry out, in order. An
event that is not allowed raises and changes nothing. Everything that decides when a round commits stands in
this file.

    GATHERING ──all workers joined, or deadline with a quorum──▶ OPEN ──last round committed──▶ FINISHED
                                                                 OPEN ──round committed──▶ OPEN
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeAlias

from gradwire.common.errors import AlreadyExists, FailedPrecondition, OutOfRange, PermissionDenied


class Phase(Enum):
    """Where a run stands."""

    GATHERING = "gathering"  # not enough workers have joined; pushes are taken, nothing commits
    OPEN = "open"  # a round is open
    FINISHED = "finished"


# ---- events ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Joined:
    """A process is up to date and hosts these workers; sessions are numbered by the caller and never reused."""

    session: int
    workers: tuple[int, ...]


@dataclass(frozen=True)
class Contribution:
    """One worker's valid payload, with its example count (1 where workers weigh equally).

    ``unpacked`` is the payload as its validation unpacked it: kept while the round is open and handed back with Commit,
    so that the payload is not unpacked again. It follows from the payload, so it is not compared.
    """

    worker: int
    payload: bytes
    examples: int = 1
    unpacked: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Pushed:
    """A process sent payloads for a round."""

    session: int
    round: int
    contributions: tuple[Contribution, ...]


@dataclass(frozen=True)
class DeadlinePassed:
    """The deadline that was armed for a round has passed."""

    round: int


@dataclass(frozen=True)
class Left:
    """A process's stream ended, for whatever reason."""

    session: int


Event: TypeAlias = Joined | Pushed | DeadlinePassed | Left


# ---- effects -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Commit:
    """Append the round to the log, fold it, then announce it; contributions are in worker order."""

    round: int
    contributions: tuple[Contribution, ...]


@dataclass(frozen=True)
class ArmDeadline:
    """Send DeadlinePassed(round) when the configured time has passed; replaces an earlier one."""

    round: int


@dataclass(frozen=True)
class AnswerLate:
    """Tell a session that its push came after the round was committed."""

    session: int
    round: int


@dataclass(frozen=True)
class Finish:
    """The last round is committed."""


Effect: TypeAlias = Commit | ArmDeadline | AnswerLate | Finish


# ---- state -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """Everything that decides what happens next.

    Attributes:
        workers: logical workers of the run.
        rounds: rounds of the run.
        needed: pushes that a round needs at least.
        round: the open round; rounds below it are committed.
        sessions: workers of each live session.
        pushed: this round's contributions by worker; kept when their session leaves, because they are here.
        overdue: the open round's deadline has passed, so its quorum commits it.
    """

    workers: int
    rounds: int
    needed: int
    round: int = 0
    phase: Phase = Phase.GATHERING
    sessions: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    pushed: Mapping[int, Contribution] = field(default_factory=lambda: MappingProxyType({}))
    overdue: bool = False

    @property
    def live(self) -> frozenset[int]:
        """Workers that are connected."""
        return frozenset(w for workers in self.sessions.values() for w in workers)


def start(workers: int, rounds: int, needed: int, round_: int = 0) -> State:
    """The state of a run whose first ``round_`` rounds are in the log."""
    phase = Phase.FINISHED if round_ >= rounds else Phase.GATHERING
    return State(workers=workers, rounds=rounds, needed=needed, round=round_, phase=phase)


Step: TypeAlias = tuple[State, tuple[Effect, ...]]


def step(state: State, event: Event) -> Step:
    """What happens next.

    Raises:
        AlreadyExists: a second payload for the same worker and round that differs from the first.
        OutOfRange: a push for a round that is not open yet.
        PermissionDenied: a push for a worker that the session does not host, or a worker that is hosted elsewhere.
        FailedPrecondition: an event that this phase does not allow, or a session that joins twice.
    """
    handler = TRANSITIONS.get((state.phase, type(event)))
    if handler is None:
        raise FailedPrecondition(
            f"the run is {state.phase.value}: it takes no {type(event).__name__.lower()}"
        )
    return handler(state, event)


# ---- transitions -------------------------------------------------------------------------------------------


def _joined(state: State, event: Joined) -> Step:
    if event.session in state.sessions:
        raise FailedPrecondition(f"session {event.session} has joined already: its workers do not change")
    unknown = [w for w in event.workers if not 0 <= w < state.workers]
    if unknown:
        raise PermissionDenied(f"worker {unknown[0]} is not one of the run's {state.workers}")
    taken = state.live & set(event.workers)
    if taken:
        raise PermissionDenied(f"worker {min(taken)} is hosted by another process")
    first = not state.sessions
    sessions = {**state.sessions, event.session: event.workers}
    state = replace(state, sessions=MappingProxyType(sessions))
    if state.phase is Phase.GATHERING and len(state.live) == state.workers:
        return _open(state)
    arm = (ArmDeadline(state.round),) if first and state.phase is Phase.GATHERING else ()
    return state, arm


def _pushed(state: State, event: Pushed) -> Step:
    hosted = state.sessions.get(event.session, ())
    for contribution in event.contributions:
        if contribution.worker not in hosted:
            raise PermissionDenied(f"worker {contribution.worker} is not hosted by this process")
    if event.round < state.round:
        return state, (AnswerLate(event.session, event.round),)
    if state.phase is Phase.FINISHED:
        raise OutOfRange(f"round {event.round} is not open: the run ended after {state.rounds} rounds")
    if event.round > state.round:
        raise OutOfRange(f"round {event.round} is not open: round {state.round} is")
    pushed = dict(state.pushed)
    for contribution in event.contributions:
        earlier = pushed.setdefault(contribution.worker, contribution)
        if earlier != contribution:
            raise AlreadyExists(
                f"worker {contribution.worker} sent another payload for round {event.round} before: a retry re-sends it"
            )
    return _commit_if_ready(replace(state, pushed=MappingProxyType(pushed)))


def _deadline(state: State, event: DeadlinePassed) -> Step:
    if event.round != state.round or state.phase is Phase.FINISHED:
        return state, ()
    if state.phase is Phase.GATHERING:
        if len(state.live) >= state.needed:
            return _open(state)
        return state, (ArmDeadline(state.round),)
    return _commit_if_ready(replace(state, overdue=True))


def _left(state: State, event: Left) -> Step:
    sessions = {s: w for s, w in state.sessions.items() if s != event.session}
    return _commit_if_ready(replace(state, sessions=MappingProxyType(sessions)))


def _open(state: State) -> Step:
    state, effects = _commit_if_ready(replace(state, phase=Phase.OPEN))
    # A round that was complete before it opened has armed its successor already.
    return state, effects or (ArmDeadline(state.round),)


def _commit_if_ready(state: State) -> Step:
    """Commit when everyone alive has pushed, or the deadline has passed, and enough have."""
    complete = state.live <= state.pushed.keys() or state.overdue
    if state.phase is not Phase.OPEN or not complete or len(state.pushed) < state.needed:
        return state, ()
    commit = Commit(state.round, tuple(state.pushed[w] for w in sorted(state.pushed)))
    following = replace(state, round=state.round + 1, pushed=MappingProxyType({}), overdue=False)
    if following.round == state.rounds:
        return replace(following, phase=Phase.FINISHED), (commit, Finish())
    return following, (commit, ArmDeadline(following.round))


_HANDLERS: Mapping[type[Event], Callable[[State, Any], Step]] = {
    Joined: _joined,
    Pushed: _pushed,
    DeadlinePassed: _deadline,
    Left: _left,
}

# Every phase takes every event: what differs is what becomes of it. A pair that is missing here would be refused.
TRANSITIONS: Mapping[tuple[Phase, type[Event]], Callable[[State, Any], Step]] = MappingProxyType(
    {(phase, event): handler for phase in Phase for event, handler in _HANDLERS.items()}
)
