"""The books notice every one of a list of mutants of the state machine: were they too weak, one would pass."""

import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gradwire.server import rounds
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


LEFT = "replace(state, sessions=MappingProxyType(sessions))"
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
        f"commit_if_ready({LEFT})",
        f"commit_if_ready(replace({LEFT}, pushed=MappingProxyType({{}})))",
    ),
    "leaving completes nothing": (f"return _commit_if_ready({LEFT})", f"return {LEFT}, ()"),
    "joining forgets the others": ("{**state.sessions, event.session", "{event.session"),
    "a worker has two hosts": ("taken = state.live & set(event.workers)", "taken = set[int]()"),
    "any worker may join": ("if not 0 <= w < state.workers]", "if w < 0]"),
    "one worker too many may join": ("0 <= w < state.workers", "0 <= w <= state.workers"),
    "a session's workers may change": ("if event.session in state.sessions:", "if False:"),
    "anyone pushes for anyone": ("if contribution.worker not in hosted:", "if False:"),
    "the open round is late": ("if event.round < state.round:", "if event.round <= state.round:"),
    "late pushes count": ("if event.round < state.round:", "if False:"),
    "early pushes count": ("if event.round > state.round:", "if False:"),
    "a finished run takes pushes": ("if state.phase is Phase.FINISHED:", "if False:"),
    "old deadlines count": ("event.round != state.round or", "event.round > state.round or"),
    "early deadlines count": ("event.round != state.round or", "event.round < state.round or"),
    "a quorum opens at once": ("len(state.live) == state.workers", "len(state.live) >= state.needed"),
    "a quorum is not enough to open": ("len(state.live) >= state.needed", "len(state.live) > state.needed"),
    "the wait for workers has no end": ("return state, (ArmDeadline(state.round),)", "return state, ()"),
    "the first to join arms nothing": ("if first and", "if not first and"),
    "an opened round drops its commit": ("effects or (Arm", "(Arm"),
    "an opened round arms nothing": ("effects or (ArmDeadline(state.round),)", "effects"),
    "the next round is not armed": ("(commit, ArmDeadline(following.round))", "(commit,)"),
    "the wrong round is armed": ("ArmDeadline(following.round)", "ArmDeadline(state.round)"),
    "rounds are skipped": ("round=state.round + 1", "round=state.round + 2"),
    "one round too many": ("following.round == state.rounds", "following.round > state.rounds"),
    "no end is announced": ("(commit, Finish())", "(commit,)"),
    "early pushes commit early": ("state.phase is not Phase.OPEN or", ""),
}


def mutant(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    source = Path(rounds.__file__).read_text()
    assert source.count(old) == 1, f"server/rounds.py has changed: update the mutant of {old!r}"
    module = ModuleType("rounds_mutant")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    exec(compile(source.replace(old, new), module.__name__, "exec"), module.__dict__)
    return module


def walks(module: ModuleType) -> None:
    rng = random.Random(1)
    for _ in range(500):
        walk(module, rng)


def test_the_original_passes() -> None:
    walks(rounds)


@pytest.mark.parametrize(("old", "new"), MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_is_noticed(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = mutant(old, new, monkeypatch)
    with pytest.raises((AssertionError, AttributeError, KeyError)):
        walks(module)
