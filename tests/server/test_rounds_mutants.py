"""The books notice every one of a list of mutants of the state machine: were they too weak, one would pass."""

import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gradwire.server.rounds import machine
from tests.server.rounds_books import Books
from tests.server.rounds_configs import draw_of, every_config

WORKERS = 4
SESSIONS = range(5)
PAYLOADS = [b"", b"one", b"two"]
CONFIGS = {
    (workers, changing): [c for c in every_config(workers, 3) if c.changing is changing]
    for workers in range(1, WORKERS + 1)
    for changing in (False, True)
}


def walk(module: ModuleType, rng: random.Random) -> None:
    """A run under 40 random events."""
    workers, total = rng.randint(1, WORKERS), rng.randint(1, 3)
    config = rng.choice(CONFIGS[workers, rng.random() < 0.5 and workers > 1])
    books = Books(
        module, workers, total, config.needed, rng.randrange(total), draw_of(config), config.opening
    )
    actions = [join, join_missing, leave, push, push_missing, push_one, push_one, push_again, deadline]
    for _ in range(40):
        rng.choice(actions)(books, rng)


def join(books: Books, rng: random.Random) -> None:
    books.join(rng.choice(SESSIONS), rng.sample(range(-1, WORKERS + 1), rng.randint(0, 2)))


def join_missing(books: Books, rng: random.Random) -> None:
    books.join_missing(rng.choice(SESSIONS))


def leave(books: Books, rng: random.Random) -> None:
    books.leave(rng.choice(SESSIONS))


def push(books: Books, rng: random.Random) -> None:
    session = rng.choice([*books.hosted] or [0])
    mine = books.hosted.get(session) or (0,)
    chosen = [
        rng.choice(mine) if rng.random() < 0.9 else rng.randrange(WORKERS) for _ in range(rng.randint(0, 2))
    ]
    what = [(w, rng.choice(PAYLOADS), rng.randint(1, 2)) for w in chosen]
    books.push(session, books.open + rng.choice([0, 0, 0, -1, 1]), what)


def push_missing(books: Books, rng: random.Random) -> None:
    books.push_missing(rng.choice(SESSIONS))


def push_one(books: Books, rng: random.Random) -> None:
    owed = [(s, w) for s, workers in books.hosted.items() for w in workers if w in books.due]
    if owed and not books.gathering and not books.finished:
        session, worker = rng.choice(owed)
        books.push(session, books.open, [(worker, b"round %d" % books.open, 1)])


def push_again(books: Books, rng: random.Random) -> None:
    books.push_again(rng.choice(SESSIONS))


def deadline(books: Books, rng: random.Random) -> None:
    books.deadline(books.open + rng.choice([0, 0, 0, -1, 1]))


TO_OPEN = "if event.round != state.round:\n        return state, ()\n    if len("
TO_COMMIT = "if event.round != state.round:\n        return state, ()\n    return _go_on"
MUTANTS = {
    "one push too few commits": ("(state.pushed) >= state.needed", "(state.pushed) >= state.needed - 1"),
    "one push too many is needed": ("(state.pushed) >= state.needed", "(state.pushed) > state.needed"),
    "nobody is waited for": ("if (not state.due or state.overdue)", "if (True)"),
    "deadlines do not commit": ("(not state.due or state.overdue)", "not state.due"),
    "the deadline stays passed": (
        "pushed=MappingProxyType({}), overdue=False)",
        "pushed=MappingProxyType({}))",
    ),
    "pushes stay for the next round": (" pushed=MappingProxyType({}), overdue", " overdue"),
    "pushes commit in any order": ("in sorted(state.pushed))", "in state.pushed)"),
    "a push goes missing": ("in sorted(state.pushed))", "in sorted(state.pushed)[: state.needed])"),
    "only the living count": ("in sorted(state.pushed))", "in sorted(state.pushed) if w in state.live)"),
    "the last payload wins": (
        "= pushed.setdefault(contribution.worker, contribution)",
        "= pushed[contribution.worker] = contribution",
    ),
    "a second payload is ignored": ("if earlier != contribution:", "if False:"),
    "examples may change": ("if earlier != contribution:", "if earlier.payload != contribution.payload:"),
    "half a push is kept": (
        "pushed = dict(state.pushed)",
        "pushed = vars(state)['pushed'] = dict(state.pushed)",
    ),
    "leaving takes pushes along": (
        "return replace(state, sessions=MappingProxyType(sessions))",
        "return replace(state, sessions=MappingProxyType(sessions), pushed=MappingProxyType({}))",
    ),
    "leaving completes nothing": (
        "return _go_on(_without_session(state, event))",
        "return _without_session(state, event), ()",
    ),
    "joining forgets the others": ("{**state.sessions, event.session", "{event.session"),
    "a worker has two hosts": ("taken = state.live & set(event.workers)", "taken = set[int]()"),
    "any worker may join": ("if not 0 <= w < state.workers]", "if w < 0]"),
    "one worker too many may join": ("0 <= w < state.workers", "0 <= w <= state.workers"),
    "a session's workers may change": ("if event.session in state.sessions:", "if False:"),
    "anyone pushes for anyone": ("if contribution.worker not in hosted:", "if False:"),
    "the open round is late": ("return event.round < state.round", "return event.round <= state.round"),
    "late pushes count": ("return event.round < state.round", "return False"),
    "early pushes count": ("if event.round > state.round:", "if False:"),
    "a finished run takes pushes": ("Rule(_refuse_push,", "Rule(_keep_push,"),
    "a finished run can be overdue": ("Rule(_ignore,", "Rule(_commit_with_quorum,"),
    "old deadlines open": (TO_OPEN, TO_OPEN.replace("!=", ">")),
    "early deadlines open": (TO_OPEN, TO_OPEN.replace("!=", "<")),
    "old deadlines commit": (TO_COMMIT, TO_COMMIT.replace("!=", ">")),
    "early deadlines commit": (TO_COMMIT, TO_COMMIT.replace("!=", "<")),
    "a quorum opens at once": (">= (state.opening or state.workers)", ">= state.needed"),
    "a quorum is not enough to open": ("len(state.live) >= state.least", "len(state.live) > state.least"),
    "the wait for workers has no end": (
        "        return _open(state)\n    return state, (ArmDeadline(state.round),)\n",
        "        return _open(state)\n    return state, ()\n",
    ),
    "the first to join arms nothing": ("if first else", "if not first else"),
    "an opened round drops its commit": ("effects or (Arm", "(Arm"),
    "an opened round arms nothing": ("effects or (ArmDeadline(state.round),)", "effects"),
    "the next round is not armed": ("(commit, ArmDeadline(following.round))", "(commit,)"),
    "the wrong round is armed": ("ArmDeadline(following.round)", "ArmDeadline(state.round)"),
    "rounds are skipped": ("round=state.round + 1", "round=state.round + 2"),
    "one round too many": ("following.round == state.rounds", "following.round > state.rounds"),
    "no end is announced": (", Finish())", ",)"),
    "early pushes commit early": ("Rule(_keep_push, (_GATHERING,))", "Rule(_count_push, tuple(Phase))"),
    "leaving early commits": ("Rule(_remove, (_GATHERING,))", "Rule(_remove_and_go_on, tuple(Phase))"),
    "joining an open round arms": ("Rule(_admit, (_OPEN,))", "Rule(_gather, (_OPEN,))"),
    "joining a finished run arms": ("Rule(_admit, (_FINISHED,))", "Rule(_gather, tuple(Phase))"),
    "leaving an open round completes nothing": ("Rule(_remove_and_go_on,", "Rule(_remove,"),
    "rounds open with MIN again and again": (
        "opening = state.opening if state.draw is None else state.draw.least",
        "opening = state.opening",
    ),
    "an opened round is not drawn": (
        "_drawn(replace(state, phase=Phase.OPEN, opening=opening))",
        "replace(state, phase=Phase.OPEN, opening=opening)",
    ),
    "nobody is told that a round opened": (
        "(opened, *(effects or (ArmDeadline(state.round),)))",
        "(effects or (ArmDeadline(state.round),))",
    ),
    "only some are told that a round opened": (
        "tuple(state.sessions), state.due)",
        "tuple(state.sessions)[1:], state.due)",
    ),
    "those who have pushed are due": (
        "state.round, tuple(state.sessions), state.due",
        "state.round, tuple(state.sessions), state.live",
    ),
    "anyone may push": ("contribution.worker not in state.drawn", "False"),
    "nobody takes the place of those who left": ("if state.draw is None or state.due:", "if True:"),
    "a round is drawn again while somebody is due": (
        "if state.draw is None or state.due:",
        "if state.draw is None:",
    ),
    "too few go on": ("        return _gather_again(state)", "        return _draw_again(state)"),
    "the run gathers again while enough are here": (
        "if len(state.live) < state.draw.least:\n        return _g",
        "if len(state.live) <= state.draw.least:\n        return _g",
    ),
    "too few are drawn for the next round": (
        "if state.draw is not None and len(state.live) < state.draw.least:",
        "if False:",
    ),
    "the run gathers although enough are here": (
        "if state.draw is not None and len(state.live) < state.draw.least:",
        "if state.draw is not None and len(state.live) <= state.draw.least:",
    ),
    "the next round keeps its cohort": ("        following = _drawn(following)", "        pass"),
    "the next round is drawn as the last one": (
        "        following = _drawn(following)",
        "        following = replace(following, drawn=_drawn(state).drawn)",
    ),
    "the entry names no cohort": ("if cohorts else ()", "if False else ()"),
    "the entry names everybody of a run without cohorts": (
        "    cohorts = state.draw is not None and state.draw.cohort > 0\n    return tuple",
        "    cohorts = state.draw is not None\n    return tuple",
    ),
    "the entry names the last round's cohort": (
        "_announced(following), state.due)",
        "_announced(state), state.due)",
    ),
    "nobody is missing": ("_announced(following), state.due)", "_announced(following))"),
    "gathering again keeps the deadline passed": (
        "phase=Phase.GATHERING, overdue=False)",
        "phase=Phase.GATHERING)",
    ),
    "gathering again refuses pushes": ("if state.draw is not None and not state.draw.cohort:", "if False:"),
    "gathering again forgets the cohort": (
        "if state.draw is not None and not state.draw.cohort:",
        "if True:",
    ),
    "gathering again arms nothing": (
        "        state = undrawn(state)\n    return state, (ArmDeadline(state.round),)",
        "        state = undrawn(state)\n    return state, ()",
    ),
    "those drawn again are not told": (
        "return state, (Opened(state.round, told, state.due),)",
        "return state, ()",
    ),
    "the wrong ones are told": ("if not state.due.isdisjoint(workers))", "if state.due.isdisjoint(workers))"),
    "late pushes are answered without workers": ("tuple(c.worker for c in event.contributions)),)", "()),)"),
}


def mutant(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    source = Path(machine.__file__).read_text()
    assert source.count(old) == 1, f"server/rounds/machine.py has changed: update the mutant of {old!r}"
    module = ModuleType("machine_mutant")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    exec(compile(source.replace(old, new), module.__name__, "exec"), module.__dict__)
    return module


def walks(module: ModuleType) -> None:
    rng = random.Random(1)
    for _ in range(800):
        walk(module, rng)


def test_the_original_passes() -> None:
    walks(machine)


@pytest.mark.parametrize(("old", "new"), MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_is_noticed(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = mutant(old, new, monkeypatch)
    with pytest.raises((AssertionError, AttributeError, KeyError)):
        walks(module)
