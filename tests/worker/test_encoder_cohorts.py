"""Rounds that draw some of a process's workers: those encode, and nothing changes for the others."""

from pathlib import Path

import pytest

from gradwire.common.errors import BudgetError, PrivacyError
from gradwire.common.privacy.budget import Budget, Run
from gradwire.worker.encoder import EncodedRound, Encoder
from gradwire.worker.privacy import Ledger
from tests.worker.setups import PRIVATE, SETUPS, WORKERS, Setup, ledger_for, model_at, placed, state

every_setup = pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
REMEMBERING = ("feedback", "scaffold", "scaffold and feedback", "kept and feedback")
DRAWS = [(0,), (2,), (), (0, 2), (2,), (), (), (0,)]  # of the two workers, by round


def alone(setup: Setup, worker: int) -> Encoder:
    """The process of one of the workers alone, which encodes when it is drawn."""
    encoder = setup.encoder()
    encoder._memories = [memory for memory in encoder._memories if memory.worker == worker]
    encoder.workers = (worker,)
    return encoder


@every_setup
def test_drawn_workers_encode_what_each_would_alone(setup: Setup) -> None:
    both, each = setup.encoder(), {worker: alone(setup, worker) for worker in WORKERS}
    for round_, drawn in enumerate(DRAWS):
        before = dict(zip(WORKERS, state(both), strict=True))
        if not drawn:
            continue
        sent = both.encode(model_at(round_), round_, drawn)
        expected = [each[worker].encode(model_at(round_), round_) for worker in drawn]
        assert sent.workers == drawn
        assert sent.payloads == tuple(one.payloads[0] for one in expected)
        assert sent.losses == tuple(one.losses[0] for one in expected)
        after = dict(zip(WORKERS, state(both), strict=True))
        assert {w: after[w] for w in WORKERS if w not in drawn} == {
            w: before[w] for w in WORKERS if w not in drawn
        }
    assert state(both) == [state(each[worker])[0] for worker in WORKERS]


@every_setup
def test_another_worker_that_is_drawn_later_in_a_round_is_added(setup: Setup, tmp_path: Path) -> None:
    """It takes the place of one who left: what the first sent stays, bit for bit."""
    whole, kept = setup.encoder(), placed(setup, tmp_path)
    both = whole.encode(model_at(0), 0)
    encoder = kept.encoder()
    first = encoder.encode(model_at(0), 0, [2])
    assert (first.workers, first.payloads) == ((2,), both.payloads[1:])
    assert encoder.encode(model_at(0), 0) == both
    assert encoder.encode(model_at(0), 0, [2]) == first
    if setup.local or setup.feedback:
        assert kept.encoder().encode(model_at(0), 0) == both


@pytest.mark.parametrize("name", REMEMBERING)
def test_one_worker_takes_its_round_back(name: str) -> None:
    encoder = SETUPS[name].encoder()
    empty = state(encoder)
    encoder.encode(model_at(0), 0)
    after = state(encoder)
    assert encoder.undecided() == {0: 0, 2: 0}
    assert encoder.add_back(0, [2]) and not encoder.add_back(0, [2])
    assert state(encoder)[0] == after[0] and state(encoder)[1] != after[1]
    assert encoder.undecided() == {0: 0}, "of what was taken back nothing is left to be known"
    if name == "scaffold":
        assert state(encoder)[1]["control"] == empty[1]["control"]


def test_only_workers_that_remember_what_they_send_ask_for_it() -> None:
    for name in ("plain", "reset", "kept", "buffers"):
        encoder = SETUPS[name].encoder()
        encoder.encode(model_at(0), 0)
        assert encoder.undecided() == {} and not encoder.remembers


@pytest.mark.parametrize("name", REMEMBERING)
def test_what_is_undecided_survives_a_restart(name: str, tmp_path: Path) -> None:
    kept = placed(SETUPS[name], tmp_path)
    encoder = kept.encoder()
    encoder.encode(model_at(3), 3, [0])
    encoder.encode(model_at(9), 9, [2])
    assert kept.encoder().undecided() == {0: 3, 2: 9} == encoder.undecided()


@every_setup
def test_discarded_payloads_are_computed_again_whoever_is_drawn(setup: Setup) -> None:
    """A resync: both had encoded at the wrong model, and are asked again one after the other."""
    whole, diverged = setup.encoder(), setup.encoder()
    right = whole.encode(model_at(0), 0)
    diverged.encode(model_at(0, shift=1.0), 0)
    diverged.discard_last()
    assert diverged.encode(model_at(0), 0, [0]).payloads == right.payloads[:1]
    assert diverged.encode(model_at(0), 0, [2]).payloads == right.payloads[1:]
    assert state(diverged) == state(whole)


# ---- private runs --------------------------------------------------------------------------------------------


def drawn_rounds(encoder: Encoder) -> list[EncodedRound]:
    return [encoder.encode(model_at(t), t, drawn) for t, drawn in enumerate(DRAWS) if drawn]


def test_a_worker_pays_for_the_rounds_alone_in_which_it_is_drawn(tmp_path: Path) -> None:
    ledger = ledger_for(PRIVATE, tmp_path / "ledger")
    sent = drawn_rounds(Setup(codec=PRIVATE).encoder(ledger))
    for worker in WORKERS:
        paid = [t for t in range(len(DRAWS)) if worker in (ledger.payloads(t) or {})]
        assert paid == [t for t, drawn in enumerate(DRAWS) if worker in drawn]
    assert ledger.totals.pushes == 3, "each worker was drawn three times: the data of both are disjoint"
    ledger.close()
    again = ledger_for(PRIVATE, tmp_path / "ledger")
    assert [each.payloads for each in drawn_rounds(Setup(codec=PRIVATE).encoder(again))] == [
        each.payloads for each in sent
    ]
    assert again.totals.pushes == 3


def test_a_round_is_paid_for_in_parts() -> None:
    ledger = ledger_for(PRIVATE)
    encoder = Setup(codec=PRIVATE).encoder(ledger)
    first = encoder.encode(model_at(0), 0, [0])
    both = encoder.encode(model_at(0), 0)
    assert both.payloads[:1] == first.payloads and ledger.payloads(0) == dict(
        zip(WORKERS, both.payloads, strict=True)
    )
    assert ledger.totals.pushes == 1


def test_the_budget_is_that_of_the_busiest_worker() -> None:
    run = Run(b"run", b"codec", 0.5, frozenset({0, 1}))
    ledger = Ledger(None, Budget(1.0))
    ledger.admit(run)
    for round_, workers in enumerate([(0,), (1,), (0,)]):
        ledger.spend(round_, dict.fromkeys(workers, b"x"))
    assert ledger.pushes_left == 0 and ledger.totals.pure == 1.0
    with pytest.raises(BudgetError, match="does not pay for another push"):
        ledger.spend(3, {0: b"x", 1: b"x"})
    assert ledger.payloads(3) is None
    ledger.spend(3, {1: b"x"})  # as often as worker 0 has
    with pytest.raises(BudgetError, match="1 is spent in 2 pushes"):
        ledger.spend(4, {1: b"x"})
    ledger.spend(3, {1: b"x"})  # a retry
    with pytest.raises(PrivacyError, match="other workers than the run's"):
        ledger.spend(5, {2: b"x"})


def test_payloads_of_rounds_long_ago_are_dropped_whichever_rounds_were_pushed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gradwire.worker.privacy.ledger_file.KEPT_ROUNDS", 10)
    ledger = Ledger(None)
    ledger.admit(Run(b"run", b"codec", 0.5, frozenset({0, 1})))
    for round_ in (0, 3, 4, 13, 29):
        ledger.spend(round_, {0: b"x"})
        ledger.spend(round_, {1: b"y"})
    kept = ledger._file._file.rows("SELECT DISTINCT round FROM pushes WHERE payload IS NOT NULL")
    assert kept == [(29,)]
