"""Every transition of the round state machine by example: (phase, event) → state and effects, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field, replace
from types import MappingProxyType
from typing import Any

import pytest

from gradwire.common.errors import (
    AlreadyExists,
    FailedPrecondition,
    OutOfRange,
    PermissionDenied,
    WireError,
)
from gradwire.server.rounds.drawing import Draw
from gradwire.server.rounds.events import (
    AnswerLate,
    ArmDeadline,
    Commit,
    Contribution,
    DeadlinePassed,
    Effect,
    Event,
    Finish,
    Joined,
    Left,
    Opened,
    Pushed,
)
from gradwire.server.rounds.machine import TRANSITIONS, step
from gradwire.server.rounds.state import Phase, State, start
from tests.server import rounds_page

A, B, C = (Contribution(w, bytes([w]) * 3) for w in range(3))
NEVER = DeadlinePassed(7)


def state(
    phase: Phase,
    round_: int = 0,
    sessions: Mapping[int, tuple[int, ...]] = MappingProxyType({}),
    *pushed: Contribution,
    overdue: bool = False,
) -> State:
    """A run of 3 workers and 2 rounds that need 2 pushes."""
    return State(
        workers=3,
        rounds=2,
        needed=2,
        round=round_,
        phase=phase,
        sessions=MappingProxyType(dict(sessions)),
        pushed=MappingProxyType({c.worker: c for c in pushed}),
        overdue=overdue,
    )


@dataclass(frozen=True)
class Case:
    """``after`` lists the fields that change; the others stay."""

    what: str
    before: State
    event: Event
    effects: tuple[Effect, ...] = ()
    after: Mapping[str, Any] = field(default_factory=dict)


BOTH = {1: (0,), 2: (1, 2)}
EMPTY = state(Phase.GATHERING)
SOME = state(Phase.GATHERING, 0, {2: (1, 2)})
OPEN = state(Phase.OPEN, 0, BOTH)
LAST = state(Phase.OPEN, 1, BOTH, A)
SMALL = state(Phase.OPEN, 0, {1: (0,)}, A)
DONE = state(Phase.FINISHED, 2, BOTH)
NEXT = {"round": 1, "pushed": {}, "overdue": False}


def pushes(session: int, round_: int, *contributions: Contribution) -> Pushed:
    return Pushed(session, round_, contributions)


CASES = [
    Case("the first arms a deadline", EMPTY, Joined(2, (1, 2)), (ArmDeadline(0),), {"sessions": {2: (1, 2)}}),
    Case("the next does not", SOME, Joined(1, ()), (), {"sessions": {2: (1, 2), 1: ()}}),
    Case(
        "the last opens the round",
        SOME,
        Joined(1, (0,)),
        (Opened(0, (2, 1), frozenset({0, 1, 2})), ArmDeadline(0)),
        {"sessions": {2: (1, 2), 1: (0,)}, "phase": Phase.OPEN},
    ),
    Case(
        "the last joins and all have pushed before",
        state(Phase.GATHERING, 0, {2: (1, 2)}, A, B, C),
        Joined(1, (0,)),
        (Opened(0, (2, 1), frozenset()), Commit(0, (A, B, C)), ArmDeadline(1)),
        {"sessions": BOTH, "phase": Phase.OPEN, **NEXT},
    ),
    Case("pushes are taken early", SOME, pushes(2, 0, C, B), (), {"pushed": {1: B, 2: C}}),
    Case(
        "an early deadline with a quorum opens",
        SOME,
        DeadlinePassed(0),
        (Opened(0, (2,), frozenset({1, 2})), ArmDeadline(0)),
        {"phase": Phase.OPEN},
    ),
    Case("an early deadline without is armed again", EMPTY, DeadlinePassed(0), (ArmDeadline(0),)),
    Case("another round's deadline is nothing", SOME, NEVER),
    Case("leaving early", SOME, Left(2), (), {"sessions": {}}),
    Case("leaving early keeps the pushes", replace(SOME, pushed={1: B}), Left(2), (), {"sessions": {}}),
    Case("joining an open round", SMALL, Joined(2, (2, 1)), (), {"sessions": {1: (0,), 2: (2, 1)}}),
    Case("alone in an open round", replace(SMALL, sessions={}), Joined(1, (0,)), (), {"sessions": {1: (0,)}}),
    Case("a push is kept", OPEN, pushes(1, 0, A), (), {"pushed": {0: A}}),
    Case("a push of nothing", OPEN, pushes(1, 0)),
    Case("the same push again", replace(OPEN, pushed={1: B}), pushes(2, 0, B)),
    Case("the same push twice in one", OPEN, pushes(2, 0, B, B), (), {"pushed": {1: B}}),
    Case(
        "the last push commits in worker order",
        replace(OPEN, pushed={2: C, 1: B}),
        pushes(1, 0, A),
        (Commit(0, (A, B, C)), ArmDeadline(1)),
        NEXT,
    ),
    Case(
        "the last push of the run",
        LAST,
        pushes(2, 1, C, B),
        (Commit(1, (A, B, C)), Finish()),
        {"round": 2, "pushed": {}, "phase": Phase.FINISHED},
    ),
    Case(
        "a quorum does not commit while others live", OPEN, pushes(2, 0, B, C), (), {"pushed": {1: B, 2: C}}
    ),
    Case(
        "a quorum commits after the deadline",
        replace(OPEN, overdue=True, pushed={2: C}),
        pushes(2, 0, B),
        (Commit(0, (B, C), missing=frozenset({0})), ArmDeadline(1)),
        NEXT,
    ),
    Case("all who live, too few", replace(SMALL, pushed={}), pushes(1, 0, A), (), {"pushed": {0: A}}),
    Case("a late push", LAST, pushes(2, 0, B), (AnswerLate(2, 0, (1,)),)),
    Case(
        "the deadline commits a quorum",
        replace(OPEN, pushed={2: C, 0: A}),
        DeadlinePassed(0),
        (Commit(0, (A, C), missing=frozenset({1})), ArmDeadline(1)),
        NEXT,
    ),
    Case("the deadline waits for a quorum", LAST, DeadlinePassed(1), (), {"overdue": True}),
    Case("an earlier round's deadline", LAST, DeadlinePassed(0)),
    Case("a later round's deadline", LAST, NEVER),
    Case("who leaves having pushed is counted", LAST, Left(1), (), {"sessions": {2: (1, 2)}}),
    Case(
        "the last who had not pushed leaves",
        replace(OPEN, pushed={1: B, 2: C}),
        Left(1),
        (Commit(0, (B, C)), ArmDeadline(1)),
        {"sessions": {2: (1, 2)}, **NEXT},
    ),
    Case("all leave, too few pushed", SMALL, Left(1), (), {"sessions": {}}),
    Case("a stranger leaves", LAST, Left(9)),
    Case("joining a finished run", replace(DONE, sessions={}), Joined(3, (0,)), (), {"sessions": {3: (0,)}}),
    Case("a late push to a finished run", DONE, pushes(1, 1, A), (AnswerLate(1, 1, (0,)),)),
    Case("a deadline of a finished run", DONE, DeadlinePassed(2)),
    Case("leaving a finished run", DONE, Left(1), (), {"sessions": {2: (1, 2)}}),
]

# ---- runs that draw who takes part: two of three workers a round, and all but one of them may be away ----------------

# In round 0 seed 28 draws worker 2 first, then 0, then 1; in round 1 worker 0 first, then 1, then 2.
TWO = Draw(seed=28, cohort=2, least=2)
ANY = Draw(seed=28, cohort=0, least=2)
ALONE = {1: (0,), 2: (1,), 3: (2,)}


def drawn(before: State, draw: Draw, *workers: int) -> State:
    """A state of such a run, in which these workers are drawn."""
    return replace(before, draw=draw, opening=draw.least, drawn=frozenset(workers))


SOME_OF = drawn(state(Phase.GATHERING, 0, {2: (1,)}), TWO)
COHORT = drawn(state(Phase.OPEN, 0, ALONE), TWO, 0, 2)
ELASTIC = drawn(state(Phase.OPEN, 0, {1: (0,), 2: (1,)}), ANY, 0, 1)

CASES += [
    Case(
        "MIN workers open the round, the first of the permutation are drawn",
        SOME_OF,
        Joined(3, (0, 2)),
        (Opened(0, (2, 3), frozenset({0, 2})), ArmDeadline(0)),
        {"sessions": {2: (1,), 3: (0, 2)}, "phase": Phase.OPEN, "drawn": frozenset({0, 2})},
    ),
    Case(
        "the cohort has pushed: the entry names the next",
        replace(COHORT, pushed={2: C}),
        pushes(1, 0, A),
        (Commit(0, (A, C), cohort=(0, 1)), ArmDeadline(1)),
        {**NEXT, "drawn": frozenset({0, 1})},
    ),
    Case(
        "who joins an open round is not drawn",
        ELASTIC,
        Joined(3, (2,)),
        (),
        {"sessions": ALONE},
    ),
    Case(
        "another takes the place of one who left",
        replace(COHORT, pushed={2: C}),
        Left(1),
        (Opened(0, (2,), frozenset({1})),),
        {"sessions": {2: (1,), 3: (2,)}, "drawn": frozenset({1, 2})},
    ),
    Case(
        "nobody takes it while another is due",
        COHORT,
        Left(1),
        (),
        {"sessions": {2: (1,), 3: (2,)}},
    ),
    Case(
        "too few are left: the run gathers, and keeps the pushes",
        replace(ELASTIC, pushed={1: B}, overdue=True),
        Left(1),
        (ArmDeadline(0),),
        {"sessions": {2: (1,)}, "phase": Phase.GATHERING, "overdue": False, "drawn": None},
    ),
    Case(
        "it opens again, and waits for the others alone",
        replace(ELASTIC, phase=Phase.GATHERING, sessions={2: (1,)}, pushed={1: B}, drawn=None),
        Joined(3, (2,)),
        (Opened(0, (2, 3), frozenset({2})), ArmDeadline(0)),
        {"sessions": {2: (1,), 3: (2,)}, "phase": Phase.OPEN, "drawn": frozenset({1, 2})},
    ),
    Case(
        "too few for the next round",
        replace(ELASTIC, sessions={2: (1,)}, pushed={0: A}),
        pushes(2, 0, B),
        (Commit(0, (A, B)), ArmDeadline(1)),
        {**NEXT, "phase": Phase.GATHERING, "drawn": None},
    ),
]

OTHER = Contribution(0, b"other")
RECOUNTED = replace(A, examples=2)
REFUSED: list[tuple[str, State, Event, type[WireError], str]] = [
    ("a worker hosted elsewhere", SOME, Joined(3, (0, 2)), PermissionDenied, "worker 2 is hosted by another"),
    (
        "a worker beyond the run's",
        EMPTY,
        Joined(1, (0, 3)),
        PermissionDenied,
        "worker 3 is not one of the run's 3",
    ),
    ("a negative worker", OPEN, Joined(3, (-1, 0)), PermissionDenied, "worker -1 is not one"),
    ("a finished run's worker", DONE, Joined(3, (0,)), PermissionDenied, "worker 0 is hosted"),
    ("a session that joins twice", SOME, Joined(2, (0,)), FailedPrecondition, "session 2 has joined already"),
    ("a stranger's push", OPEN, pushes(9, 0, A), PermissionDenied, "worker 0 is not hosted"),
    ("another's worker", OPEN, pushes(2, 0, B, A), PermissionDenied, "worker 0 is not hosted"),
    ("another's worker, late", LAST, pushes(2, 0, A), PermissionDenied, "worker 0 is not hosted"),
    ("a round too early", SOME, pushes(2, 1, B), OutOfRange, "round 1 is not open: round 0 is"),
    ("the round after", OPEN, pushes(1, 1, A), OutOfRange, "round 1 is not open: round 0 is"),
    ("a round beyond the run's", DONE, pushes(1, 2, A), OutOfRange, "the run ended after 2 rounds"),
    ("another payload", LAST, pushes(1, 1, OTHER), AlreadyExists, "worker 0"),
    ("other examples", LAST, pushes(1, 1, RECOUNTED), AlreadyExists, "worker 0"),
    ("two payloads at once", OPEN, pushes(1, 0, A, OTHER), AlreadyExists, "worker 0"),
    (
        "a worker that is not drawn",
        COHORT,
        pushes(2, 0, B),
        PermissionDenied,
        "worker 1 is not drawn for round 0",
    ),
    ("a cohort that is not drawn yet", SOME_OF, pushes(2, 0, B), PermissionDenied, "worker 1 is not drawn"),
    ("another payload, early", replace(SOME, pushed={1: A}), pushes(2, 0, B), AlreadyExists, "worker 1"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.before.phase.value}: {case.what}")
def test_transition(case: Case) -> None:
    frozen = repr(case.before)
    after, effects = step(case.before, case.event)
    assert effects == case.effects
    assert after == replace(case.before, **case.after)
    assert repr(case.before) == frozen


@pytest.mark.parametrize(
    ("before", "event", "error", "message"),
    [case[1:] for case in REFUSED],
    ids=[f"{case[1].phase.value}: {case[0]}" for case in REFUSED],
)
def test_refusal(before: State, event: Event, error: type[WireError], message: str) -> None:
    frozen = repr(before)
    with pytest.raises(error, match=message):
        step(before, event)
    assert repr(before) == frozen


PAIRS = {(phase, event) for phase, rules in TRANSITIONS.items() for event in rules}


def test_the_examples_cover_the_table() -> None:
    shown = {(case.before.phase, type(case.event)) for case in CASES}
    every = {(phase, event) for phase in Phase for event in (Joined, Pushed, DeadlinePassed, Left)}
    assert shown == every == PAIRS


@pytest.mark.parametrize("phase", Phase)
def test_the_phases_in_the_table_are_all_reached(phase: Phase) -> None:
    """By the examples, and by a run of one round whose payloads are all here when it opens."""
    whole = state(Phase.GATHERING, 1, {2: (1, 2)}, A, B, C)
    quorum = state(Phase.GATHERING, 1, {2: (1, 2)}, B, C)
    more = [
        (whole, Joined(1, (0,))),
        (quorum, DeadlinePassed(1)),
        (replace(LAST, pushed={1: B, 2: C}), Left(1)),
    ]
    more += [(replace(LAST, pushed={1: B, 2: C}), DeadlinePassed(1))]
    few = replace(ELASTIC, sessions={2: (1,)}, pushed={0: A, 1: B}, drawn=frozenset({0, 1, 2}))
    more += [(replace(few, sessions={1: (0,), 2: (2,)}, round=0), DeadlinePassed(0)), (few, Left(2))]
    more += [(replace(few, sessions={2: (2,)}), DeadlinePassed(0))]
    found: dict[type[Event], set[Phase]] = {event: set() for event in TRANSITIONS[phase]}
    for before, event in [*((case.before, case.event) for case in CASES), *more]:
        if before.phase is phase:
            found[type(event)].add(step(before, event)[0].phase)
    assert found == {event: set(rule.leads_to) for event, rule in TRANSITIONS[phase].items()}


@pytest.mark.parametrize("before", [SOME, OPEN, DONE], ids=lambda before: before.phase.value)
def test_an_event_that_is_not_in_the_table_is_refused(before: State) -> None:
    with pytest.raises(FailedPrecondition, match=f"the run is {before.phase.value}: it takes no finish"):
        step(before, Finish())  # type: ignore[arg-type]


def test_a_rule_that_leads_where_the_table_does_not_say_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = replace(TRANSITIONS[Phase.OPEN][Pushed], leads_to=(Phase.GATHERING,))
    monkeypatch.setitem(TRANSITIONS[Phase.OPEN], Pushed, rule)
    with pytest.raises(AssertionError, match="add it to the table"):
        step(OPEN, pushes(1, 0, A))


@pytest.mark.parametrize(
    ("round_", "phase"), [(0, Phase.GATHERING), (1, Phase.GATHERING), (2, Phase.FINISHED)]
)
def test_a_run_starts_where_its_log_ends(round_: int, phase: Phase) -> None:
    assert start(3, 2, 2, round_) == state(phase, round_)


@pytest.mark.parametrize("thing", [OPEN, A, NEVER, pushes(1, 0, A), Joined(1, (0,)), Left(1), Finish()])
def test_states_events_and_effects_cannot_be_changed(thing: object) -> None:
    with pytest.raises(FrozenInstanceError):
        thing.round = 5  # type: ignore[attr-defined]


def test_the_tables_in_a_state_cannot_be_changed() -> None:
    after, _ = step(OPEN, pushes(1, 0, A))
    for table in (after.pushed, after.sessions, start(3, 2, 2).pushed, start(3, 2, 2).sessions):
        with pytest.raises(TypeError):
            table[1] = A  # type: ignore[index]


def test_the_page_shows_the_table() -> None:
    text = rounds_page.PAGE.read_text(encoding="utf-8")
    assert rounds_page.generated(text) == text, "run python -m tests.server.rounds_page"


def test_the_diagram_has_an_edge_for_every_pair_of_phases_in_the_table() -> None:
    edges = {
        tuple(line.split(":")[0].split(" --> "))
        for line in rounds_page.diagram().splitlines()
        if " --> " in line
    }
    pairs = {
        (p.value, q.value)
        for p, rules in TRANSITIONS.items()
        for rule in rules.values()
        for q in rule.leads_to
    }
    assert {(a.strip(), b) for a, b in edges} == pairs | {("[*]", "gathering"), ("finished", "[*]")}
    assert ("open", "gathering") in pairs and ("finished", "open") not in pairs
