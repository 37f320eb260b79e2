"""The round state machine: what the server does about each event, with no socket, clock or thread in it.

``step(state, event)`` returns the next state and the effects that the caller must carry out, in order. An event that is
not allowed raises and changes nothing. Everything that decides when a round opens, commits or ends is in this file, and
``TRANSITIONS`` is its index: the rule for every event in every phase, and the phases that the rule may lead to.
docs/rounds.md shows the table and a diagram, both generated from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeAlias

from gradwire.common.errors import AlreadyExists, FailedPrecondition, OutOfRange, PermissionDenied
from gradwire.server.rounds.events import (
    AnswerLate,
    ArmDeadline,
    Commit,
    DeadlinePassed,
    Effect,
    Event,
    Finish,
    Joined,
    Left,
    Opened,
    Pushed,
)
from gradwire.server.rounds.state import Phase, State, undrawn

Step: TypeAlias = tuple[State, tuple[Effect, ...]]


def step(state: State, event: Event) -> Step:
    """What happens next.

    Raises:
        AlreadyExists: a second payload for the same worker and round that differs from the first.
        OutOfRange: a push for a round that is not open yet.
        PermissionDenied: a push for a worker that the session does not host or the round has not drawn, or a worker
            that is hosted elsewhere.
        FailedPrecondition: an event that this phase does not allow, or a session that joins twice.
    """
    rule = TRANSITIONS[state.phase].get(type(event))
    if rule is None:
        raise FailedPrecondition(
            f"the run is {state.phase.value}: it takes no {type(event).__name__.lower()}"
        )
    after, effects = rule.apply(state, event)
    assert after.phase in rule.leads_to, (
        f"{event} led from {state.phase} to {after.phase}: add it to the table"
    )
    return after, effects


# ---- joining and leaving -----------------------------------------------------------------------------------


def _gather(state: State, event: Joined) -> Step:
    """The session's workers take part. The first session arms the deadline; once enough are live, the round opens."""
    first = not state.sessions
    state = _with_session(state, event)
    if len(state.live) >= (state.opening or state.workers):
        return _open(state)
    return state, (ArmDeadline(state.round),) if first else ()


def _admit(state: State, event: Joined) -> Step:
    """The session's workers take part from now on: in the open round where it has drawn them, else from the next."""
    return _with_session(state, event), ()


def _remove(state: State, event: Left) -> Step:
    """The session's workers take no part any more; what they pushed stays."""
    return _without_session(state, event), ()


def _remove_and_go_on(state: State, event: Left) -> Step:
    """The session's workers take no part any more; what they pushed stays. Goes on if all others have pushed."""
    return _go_on(_without_session(state, event))


def _with_session(state: State, event: Joined) -> State:
    if event.session in state.sessions:
        raise FailedPrecondition(f"session {event.session} has joined already: its workers do not change")
    unknown = [w for w in event.workers if not 0 <= w < state.workers]
    if unknown:
        raise PermissionDenied(f"worker {unknown[0]} is not one of the run's {state.workers}")
    taken = state.live & set(event.workers)
    if taken:
        raise PermissionDenied(f"worker {min(taken)} is hosted by another process")
    return replace(state, sessions=MappingProxyType({**state.sessions, event.session: event.workers}))


def _without_session(state: State, event: Left) -> State:
    sessions = {s: w for s, w in state.sessions.items() if s != event.session}
    return replace(state, sessions=MappingProxyType(sessions))


# ---- pushes ------------------------------------------------------------------------------------------------


def _keep_push(state: State, event: Pushed) -> Step:
    """The payloads are kept for when the round opens. Late ones are answered."""
    if _is_late(state, event):
        return state, _answer_late(event)
    return _with_payloads(state, event), ()


def _count_push(state: State, event: Pushed) -> Step:
    """The payloads are counted. Goes on if they were the last. Late ones are answered."""
    if _is_late(state, event):
        return state, _answer_late(event)
    return _go_on(_with_payloads(state, event))


def _refuse_push(state: State, event: Pushed) -> Step:
    """Refused, unless late: then answered."""
    if _is_late(state, event):
        return state, _answer_late(event)
    raise OutOfRange(f"round {event.round} is not open: the run ended after {state.rounds} rounds")


def _is_late(state: State, event: Pushed) -> bool:
    """Whether the round is committed already. Refuses workers that the session does not host, late or not."""
    hosted = frozenset(state.sessions.get(event.session, ()))
    for contribution in event.contributions:
        if contribution.worker not in hosted:
            raise PermissionDenied(f"worker {contribution.worker} is not hosted by this process")
    return event.round < state.round


def _answer_late(event: Pushed) -> tuple[Effect, ...]:
    return (AnswerLate(event.session, event.round, tuple(c.worker for c in event.contributions)),)


def _with_payloads(state: State, event: Pushed) -> State:
    if event.round > state.round:
        raise OutOfRange(f"round {event.round} is not open: round {state.round} is")
    pushed = dict(state.pushed)
    for contribution in event.contributions:
        if state.drawn is not None and contribution.worker not in state.drawn:
            raise PermissionDenied(
                f"worker {contribution.worker} is not drawn for round {state.round}: push when Open or an entry says so"
            )
        earlier = pushed.setdefault(contribution.worker, contribution)
        if earlier != contribution:
            raise AlreadyExists(
                f"worker {contribution.worker} sent another payload for round {event.round} before: a retry re-sends it"
            )
    return replace(state, pushed=MappingProxyType(pushed))


# ---- deadlines ---------------------------------------------------------------------------------------------


def _open_with_quorum(state: State, event: DeadlinePassed) -> Step:
    """Opens the round if enough workers are here, else arms the deadline again."""
    if event.round != state.round:
        return state, ()
    if len(state.live) >= state.least:
        return _open(state)
    return state, (ArmDeadline(state.round),)


def _commit_with_quorum(state: State, event: DeadlinePassed) -> Step:
    """Commits if enough workers have pushed; else the round is overdue, and commits as soon as they have."""
    if event.round != state.round:
        return state, ()
    return _go_on(replace(state, overdue=True))


def _ignore(state: State, event: DeadlinePassed) -> Step:
    """Nothing: the timer was cancelled, but had run out before."""
    return state, ()


# ---- opening and committing --------------------------------------------------------------------------------


def _open(state: State) -> Step:
    opening = state.opening if state.draw is None else state.draw.least
    state = _drawn(replace(state, phase=Phase.OPEN, opening=opening))
    opened = Opened(state.round, tuple(state.sessions), state.due)
    state, effects = _go_on(state)
    # A round that was complete before it opened has armed its successor already.
    return state, (opened, *(effects or (ArmDeadline(state.round),)))


def _go_on(state: State) -> Step:
    """Commit when everyone who is due has pushed, or the deadline has passed, and enough have.

    Where all who are due have pushed and they are too few, others take the place of those who left; and where too few
    are live for that, the run gathers again.
    """
    if (not state.due or state.overdue) and len(state.pushed) >= state.needed:
        return _commit(state)
    if state.draw is None or state.due:
        return state, ()
    if len(state.live) < state.draw.least:
        return _gather_again(state)
    return _draw_again(state)


def _commit(state: State) -> Step:
    contributions = tuple(state.pushed[w] for w in sorted(state.pushed))
    following = replace(state, round=state.round + 1, pushed=MappingProxyType({}), overdue=False)
    if following.round == state.rounds:
        finished = undrawn(replace(following, phase=Phase.FINISHED))
        return finished, (Commit(state.round, contributions, (), state.due), Finish())
    if state.draw is not None and len(state.live) < state.draw.least:
        following = undrawn(replace(following, phase=Phase.GATHERING))
    else:
        following = _drawn(following)
    commit = Commit(state.round, contributions, _announced(following), state.due)
    return following, (commit, ArmDeadline(following.round))


def _gather_again(state: State) -> Step:
    state = replace(state, phase=Phase.GATHERING, overdue=False)
    if state.draw is not None and not state.draw.cohort:
        state = undrawn(state)
    return state, (ArmDeadline(state.round),)


def _draw_again(state: State) -> Step:
    state = _drawn(state)
    told = tuple(s for s, workers in state.sessions.items() if not state.due.isdisjoint(workers))
    return state, (Opened(state.round, told, state.due),)


def _drawn(state: State) -> State:
    """The state with its round's workers drawn; they stay as they are where all of the run always take part."""
    if state.draw is None:
        return state
    return replace(state, drawn=state.draw.take(state.round, state.live, state.pushed.keys()))


def _announced(state: State) -> tuple[int, ...]:
    """The cohort of the round that the entry before it names; none is drawn where the round is not open."""
    cohorts = state.draw is not None and state.draw.cohort > 0
    return tuple(sorted(state.drawn or ())) if cohorts else ()


# ---- the table ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """What an event does in a phase, and the phases that it may lead to."""

    apply: Callable[[State, Any], Step]
    leads_to: tuple[Phase, ...]


_GATHERING, _OPEN, _FINISHED = Phase
# A run of one round whose payloads are all here ends as soon as it opens. A run whose workers may leave gathers again
# once too few of them are live.
TRANSITIONS: Mapping[Phase, Mapping[type[Event], Rule]] = {
    _GATHERING: {
        Joined: Rule(_gather, (_GATHERING, _OPEN, _FINISHED)),
        Pushed: Rule(_keep_push, (_GATHERING,)),
        DeadlinePassed: Rule(_open_with_quorum, (_GATHERING, _OPEN, _FINISHED)),
        Left: Rule(_remove, (_GATHERING,)),
    },
    _OPEN: {
        Joined: Rule(_admit, (_OPEN,)),
        Pushed: Rule(_count_push, (_GATHERING, _OPEN, _FINISHED)),
        DeadlinePassed: Rule(_commit_with_quorum, (_GATHERING, _OPEN, _FINISHED)),
        Left: Rule(_remove_and_go_on, (_GATHERING, _OPEN, _FINISHED)),
    },
    _FINISHED: {
        Joined: Rule(_admit, (_FINISHED,)),
        Pushed: Rule(_refuse_push, (_FINISHED,)),
        DeadlinePassed: Rule(_ignore, (_FINISHED,)),
        Left: Rule(_remove, (_FINISHED,)),
    },
}
