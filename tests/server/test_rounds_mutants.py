"""The books notice every one of a list of mutants of the state machine: were they too weak, one would pass."""

import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gradwire.server.rounds import machine
from tests.server.rounds_books import Books

WORKERS = 4
SESSIONS = range(5)
PAYLOADS = [b"", b"one", b"two"]


def walk(module: ModuleType, rng: random.Random) -> None:
    """A run under 40 random events."""
    workers, total = rng.randint(1, WORKERS), rng.randint(1, 3)
    books = Books(module, workers, total, rng.randint(1, workers), rng.randrange(total))
    actions = [join, join_missing, leave, push, push_missing, push_missing, push_again, deadline]
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


def push_again(books: Books, rng: random.Random) -> None:
    books.push_again(rng.choice(SESSIONS))


def deadline(books: Books, rng: random.Random) -> None:
    books.deadline(books.open + rng.choice([0, 0, 0, -1, 1]))


TO_OPEN = "if event.round != state.round:\n        return state, ()\n    if len("
TO_COMMIT = "if event.round != state.round:\n        return state, ()\n    return _commit"
MUTANTS = {
    "one push too few commits": ("(state.pushed) < state.needed", "(state.pushed) < state.needed - 1"),
    "one push too many is needed": ("(state.pushed) < state.needed", "(state.pushed) <= state.needed"),
    "someone must be missing": ("state.live <= state.pushed.keys()", "state.live < state.pushed.keys()"),
    "nobody is waited for": ("state.live <= state.pushed.keys()", "True"),
    "deadlines do not commit": (".keys() or state.overdue", ".keys()"),
    "the deadline stays passed": (", overdue=False)", ")"),
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
        "return _commit_if_ready(_without_session(state, event))",
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
    "a quorum opens at once": ("len(state.live) == state.workers", "len(state.live) >= state.needed"),
    "a quorum is not enough to open": ("len(state.live) >= state.needed", "len(state.live) > state.needed"),
    "the wait for workers has no end": ("return state, (ArmDeadline(state.round),)\n", "return state, ()\n"),
    "the first to join arms nothing": ("if first else", "if not first else"),
    "an opened round drops its commit": ("effects or (Arm", "(Arm"),
    "an opened round arms nothing": ("effects or (ArmDeadline(state.round),)", "effects"),
    "the next round is not armed": ("(commit, ArmDeadline(following.round))", "(commit,)"),
    "the wrong round is armed": ("ArmDeadline(following.round)", "ArmDeadline(state.round)"),
    "rounds are skipped": ("round=state.round + 1", "round=state.round + 2"),
    "one round too many": ("following.round == state.rounds", "following.round > state.rounds"),
    "no end is announced": ("(commit, Finish())", "(commit,)"),
    "early pushes commit early": ("Rule(_keep_push, (_GATHERING,))", "Rule(_count_push, tuple(Phase))"),
    "leaving early commits": ("Rule(_remove, (_GATHERING,))", "Rule(_remove_and_commit, tuple(Phase))"),
    "joining an open round arms": ("Rule(_admit, (_OPEN,))", "Rule(_gather, (_OPEN,))"),
    "joining a finished run arms": ("Rule(_admit, (_FINISHED,))", "Rule(_gather, tuple(Phase))"),
    "leaving an open round completes nothing": ("Rule(_remove_and_commit,", "Rule(_remove,"),
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
    for _ in range(500):
        walk(module, rng)


def test_the_original_passes() -> None:
    walks(machine)


@pytest.mark.parametrize(("old", "new"), MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_is_noticed(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = mutant(old, new, monkeypatch)
    with pytest.raises((AssertionError, AttributeError, KeyError)):
        walks(module)
