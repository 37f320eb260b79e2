"""No run hangs: every state that small runs can reach, and what comes of it when those who are due push."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gradwire.common.errors import WireError
from gradwire.common.training.config import RunConfig
from gradwire.server.rounds.events import (
    Commit,
    Contribution,
    DeadlinePassed,
    Effect,
    Event,
    Joined,
    Left,
    Pushed,
)
from gradwire.server.rounds.machine import step
from gradwire.server.rounds.state import Phase, State, start
from tests.server.rounds_configs import draw_of, every_config

ROUNDS = 2
HOSTS = {"each alone": ((0,), (1,), (2,)), "two together": ((0, 2), (1,))}
CONFIGS = list(every_config(3, ROUNDS))


def push_of(session: int, worker: int, round_: int) -> Pushed:
    return Pushed(session, round_, (Contribution(worker, b""),))


def events_in(state: State, hosts: tuple[tuple[int, ...], ...]) -> Iterator[Event]:
    """All that may happen: processes come and go, and push for the round; the deadline passes."""
    yield DeadlinePassed(state.round)
    for session, workers in enumerate(hosts):
        if session not in state.sessions:
            yield Joined(session, workers)
            continue
        yield Left(session)
        for worker in workers:
            yield push_of(session, worker, state.round)


def key(state: State) -> tuple[object, ...]:
    """What tells states apart; the order of sessions and pushes does not."""
    sessions, pushed = frozenset(state.sessions), frozenset(state.pushed)
    return state.round, state.phase, sessions, pushed, state.overdue, state.opening, state.drawn


def reachable(config: RunConfig, hosts: tuple[tuple[int, ...], ...]) -> list[State]:
    first = start(3, ROUNDS, config.needed, draw=draw_of(config), opening=config.opening)
    found, waiting = {key(first): first}, [first]
    while waiting:
        state = waiting.pop()
        for event in events_in(state, hosts):
            try:
                after, _ = step(state, event)
            except WireError:
                continue
            if key(after) not in found:
                found[key(after)] = after
                waiting.append(after)
    return list(found.values())


def commits(effects: tuple[Effect, ...]) -> bool:
    return any(isinstance(effect, Commit) for effect in effects)


def commits_when_due_push(state: State) -> bool:
    """Whether a round commits, in whatever order those who are due push; nobody comes, leaves or is waited for."""
    if not state.due or state.phase is not Phase.OPEN:
        return False
    for session, workers in state.sessions.items():
        for worker in state.due.intersection(workers):
            after, effects = step(state, push_of(session, worker, state.round))
            if not commits(effects) and not commits_when_due_push(after):
                return False
    return True


@pytest.mark.parametrize("hosts", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda c: f"cohort {c.cohort}, MIN {c.min_workers}, quorum {c.quorum}"
)
def test_every_reachable_state_goes_on(config: RunConfig, hosts: tuple[tuple[int, ...], ...]) -> None:
    states = reachable(config, hosts)
    assert {state.phase for state in states} == set(Phase) and len(states) > 10
    for state in states:
        if state.phase is Phase.FINISHED:
            continue
        enough = len(state.live) >= (state.opening or 3 if state.phase is Phase.GATHERING else state.least)
        if state.phase is Phase.OPEN and state.draw is not None:
            assert state.due, "an open round of a run that changes always waits for somebody"
        if enough and (state.draw is not None or state.live >= set(range(3))):
            assert commits_when_due_push(state), state
        # And those who are away may come: then, whatever happened, everybody can go on.
        effects: tuple[Effect, ...] = ()
        for session, workers in enumerate(hosts):
            if session not in state.sessions:
                state, effects = step(state, Joined(session, workers))
        assert commits(effects) or state.phase is Phase.FINISHED or commits_when_due_push(state), state


def test_a_run_that_could_not_draw_again_would_hang() -> None:
    """The search finds the state in which all who are left have pushed and others are not drawn."""
    (config,) = (c for c in CONFIGS if (c.cohort, c.min_workers, c.quorum) == (2, 0, 0))
    hung = [
        state
        for state in reachable(config, HOSTS["each alone"])
        if state.phase is Phase.OPEN and not commits_when_due_push(replace(state, draw=None))
    ]
    assert hung
