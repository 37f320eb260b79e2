"""What workers remember from round to round: retries, restarts, resyncs and rounds that are committed without them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import LogError, NotFiniteError, TaskError
from gradwire.common.randomness import shared_seed
from gradwire.common.training.model import CONTROL
from gradwire.worker.encoder import Encoder
from gradwire.worker.tasks import Gradient
from tests.worker.setups import MOMENTUM, PRIVATE, SETUPS, Setup, ledger_for, model_at, placed, state
from tests.worker.toy_tasks import DIM, Logistic, WithBuffers

every_setup = pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
REMEMBERING = {name: setup for name, setup in SETUPS.items() if name not in ("plain", "reset")}


# ---- restarts -----------------------------------------------------------------------------------------------


@every_setup
def test_restart_after_any_round_continues_bit_for_bit(setup: Setup, tmp_path: Path) -> None:
    whole = setup.encoder()
    rounds = [whole.encode(model_at(t), t) for t in range(4)]
    for last in range(4):
        kept = placed(setup, tmp_path / str(last))
        first = kept.encoder()
        for t in range(last + 1):
            first.encode(model_at(t), t)
        again = kept.encoder()
        assert again.encode(model_at(last), last) == rounds[last]  # the same loss and examples too
        assert [again.encode(model_at(t), t) for t in range(last + 1, 4)] == rounds[last + 1 :]
        assert state(again) == state(whole)


@every_setup
def test_restarted_worker_computes_nothing_again(setup: Setup, tmp_path: Path) -> None:
    kept = placed(setup, tmp_path)
    sent = kept.encoder().encode(model_at(0), 0)
    again = kept.encoder()
    assert again.encode(model_at(0, shift=9.0), 0) == sent
    after = state(again)
    assert again.encode(model_at(0), 0) is again.encode(model_at(0), 0) and state(again) == after


def test_record_is_written_before_the_payload_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise LogError("the disk is full")

    kept = placed(SETUPS["kept"], tmp_path)
    encoder = kept.encoder()
    first = encoder.encode(model_at(0), 0)
    with monkeypatch.context() as patch:
        patch.setattr("gradwire.worker.records.write_record", refuse)
        with pytest.raises(LogError, match="the disk is full"):
            encoder.encode(model_at(1), 1)
    whole = SETUPS["kept"].encoder()
    again = kept.encoder()
    assert whole.encode(model_at(0), 0) == first
    assert again.encode(model_at(1), 1) == whole.encode(model_at(1), 1)


@pytest.mark.parametrize("setup", REMEMBERING.values(), ids=REMEMBERING)
def test_round_that_is_over_is_refused(setup: Setup) -> None:
    encoder = setup.encoder()
    for round_ in (0, 1):
        encoder.encode(model_at(round_), round_)
    with pytest.raises(TaskError, match="round 0 is over: worker 0's memories are at round 2"):
        encoder.encode(model_at(0), 0)
    assert encoder.encode(model_at(7), 7).round == 7  # rounds may be skipped


# ---- resyncs ------------------------------------------------------------------------------------------------


@every_setup
def test_discarded_round_is_computed_from_the_memories_before_it(setup: Setup, tmp_path: Path) -> None:
    whole, diverged = setup.encoder(), placed(setup, tmp_path).encoder()
    for round_ in range(2):
        assert whole.encode(model_at(round_), round_) == diverged.encode(model_at(round_), round_)
    wrong = diverged.encode(model_at(2, shift=1.0), 2)
    diverged.discard_last()
    assert diverged.encode(model_at(2), 2) == whole.encode(model_at(2), 2) != wrong
    assert diverged.encode(model_at(3), 3) == whole.encode(model_at(3), 3)
    assert (
        state(diverged) == state(whole) == state(placed(setup, tmp_path).encoder() if setup.local else whole)
    )


@every_setup
def test_round_that_was_counted_stays_although_the_model_was_replaced(setup: Setup) -> None:
    """A snapshot of a later round: the push of the earlier one may have counted."""
    whole, behind = setup.encoder(), setup.encoder()
    for encoder in (whole, behind):
        encoder.encode(model_at(0), 0)
    behind.discard_last()
    assert behind.encode(model_at(5), 5) == whole.encode(model_at(5), 5) and state(behind) == state(whole)


def test_payload_of_an_earlier_process_is_sent_again_after_a_resync(tmp_path: Path) -> None:
    kept = placed(SETUPS["kept"], tmp_path)
    sent = kept.encoder().encode(model_at(0), 0)
    again = kept.encoder()
    again.discard_last()  # as on every join that takes the server's model
    assert again.encode(model_at(0), 0) == sent
    again.discard_last()
    assert again.encode(model_at(0), 0) == sent


# ---- rounds that are committed without the worker -----------------------------------------------------------


def total(encoder: Encoder, counted: list[Any]) -> np.ndarray:
    """What worker 0 sent and counts, plus what it still holds back."""
    memory = encoder._memories[0].feedback
    assert memory is not None
    return sum(encoder._codec.decode(sent.payloads[0]) for sent in counted) + memory.memory


def test_late_payload_returns_to_the_error_feedback() -> None:
    """Late arrives before the round's entry, so before the next payload is made: nothing is lost."""
    encoder, task = SETUPS["feedback"].encoder(), Logistic()
    sent = [encoder.encode(model_at(0), 0), encoder.encode(model_at(0), 1)]
    assert encoder.add_back(1)
    assert not encoder.add_back(1)  # once
    assert not encoder.add_back(0)  # it was counted: the worker has gone on
    sent.append(encoder.encode(model_at(0), 2))
    params = model_at(0).params
    given = sum(task.gradient(params, round=t, worker=0).value for t in range(3))
    assert np.allclose(total(encoder, [sent[0], sent[2]]), given, atol=1e-5)


@pytest.mark.parametrize("name", ["feedback", "scaffold", "scaffold and feedback", "kept and feedback"])
def test_restarted_worker_takes_back_a_lost_push_once(name: str, tmp_path: Path) -> None:
    """Killed after its second push, told that it was not counted, and killed again."""
    kept = placed(SETUPS[name], tmp_path)
    encoder = kept.encoder()
    for round_ in range(2):
        encoder.encode(model_at(round_), round_)
    assert kept.encoder().add_back(1)
    after = kept.encoder()
    before = state(after)
    assert not after.add_back(1) and state(after) == before


def test_control_variate_returns_to_what_it_was() -> None:
    encoder = SETUPS["scaffold"].encoder()
    encoder.encode(model_at(0), 0)
    before = [memory[CONTROL] for memory in state(encoder)]
    encoder.encode(model_at(1), 1)
    assert [memory[CONTROL] for memory in state(encoder)] != before
    assert encoder.add_back(1) and [memory[CONTROL] for memory in state(encoder)] == before


def test_kept_inner_state_stays_where_it_is() -> None:
    encoder = SETUPS["kept"].encoder()
    encoder.encode(model_at(0), 0)
    before = state(encoder)
    assert not encoder.add_back(0) and state(encoder) == before


def test_resync_after_a_round_was_taken_back_takes_it_back_once() -> None:
    """A process that is sent the server's model and learns that its last push was not counted goes on from there."""
    encoder, whole = SETUPS["feedback"].encoder(), SETUPS["feedback"].encoder()
    for each in (encoder, whole):
        each.encode(model_at(0), 0)
    before = state(whole)
    encoder.encode(model_at(1, shift=1.0), 1)
    encoder.discard_last()
    assert encoder.add_back(1)
    assert [np.frombuffer(m["feedback"], "f4").shape for m in before] == [(DIM,)] * 2
    assert encoder.encode(model_at(2), 2).round == 2 and not encoder.add_back(1)


# ---- private runs -------------------------------------------------------------------------------------------


class Diverging(WithBuffers):
    """Worker 0 has no finite loss in step 5, the last of round 1."""

    def gradient(self, params: np.ndarray, *, round: int, worker: int) -> Gradient:
        gradient = super().gradient(params, round=round, worker=worker)
        if (round, worker) == (5, 0):
            raise NotFiniteError("worker 0, round 5: the training loss is nan; lower the learning rate")
        return gradient


class Overflowing(WithBuffers):
    """Worker 0 has a gradient beyond float32 in the last step of round 1."""

    def gradient(self, params: np.ndarray, *, round: int, worker: int) -> Gradient:
        gradient = super().gradient(params, round=round, worker=worker)
        value = gradient.value * np.float32(np.inf) if (round, worker) == (5, 0) else gradient.value
        return Gradient(value, gradient.loss, gradient.examples)


@pytest.mark.parametrize("task", [Diverging, Overflowing])
def test_round_without_a_finite_update_leaves_the_memories(task: type[Logistic]) -> None:
    encoder = Setup(MOMENTUM, PRIVATE, task=task).encoder(ledger_for(PRIVATE))
    encoder.encode(model_at(0), 0)
    before = state(encoder)
    sent = encoder.encode(model_at(1), 1)
    assert len(sent.payloads) == 2 and sent.losses == ()
    after = state(encoder)
    assert after[0] == before[0] and after[1] != before[1]
    assert encoder.encode(model_at(2), 2).round == 2


@pytest.mark.parametrize("task", [Diverging, Overflowing])
def test_control_variate_follows_the_payload_of_a_round_without_a_finite_update(task: type[Logistic]) -> None:
    """The server counts the payload of zero like any other."""
    encoder = Setup("optimizer=sgd(lr=0.1), scaffold=true", PRIVATE, task=task).encoder(ledger_for(PRIVATE))
    encoder.encode(model_at(0), 0)
    before = encoder._source.state(0)
    sent = encoder.encode(model_at(1), 1)
    after = encoder._source.state(0)
    carried = parse(PRIVATE, DIM).decode(sent.payloads[0], shared=shared_seed(5, 1, 0)) / (3 * 0.1)
    expected = before[CONTROL] + (carried - model_at(1).state[CONTROL])
    np.testing.assert_allclose(after[CONTROL], expected, rtol=1e-5)
    assert after["task.mean"].tobytes() == before["task.mean"].tobytes()


@pytest.mark.parametrize("task", [Diverging, Overflowing])
def test_round_without_a_finite_update_is_an_error_elsewhere(task: type[Logistic]) -> None:
    encoder = Setup(MOMENTUM, task=task).encoder()
    encoder.encode(model_at(0), 0)
    before = state(encoder)[0]
    with pytest.raises(NotFiniteError, match="lower the learning rate"):
        encoder.encode(model_at(1), 1)
    assert state(encoder)[0] == before


def test_losses_of_a_paid_round_come_from_the_records(tmp_path: Path) -> None:
    kept, ledger = placed(Setup(MOMENTUM, PRIVATE), tmp_path), ledger_for(PRIVATE)
    sent = kept.encoder(ledger).encode(model_at(0), 0)
    assert kept.encoder(ledger).encode(model_at(0), 0) == sent and len(sent.losses) == 2
    assert Setup(MOMENTUM, PRIVATE).encoder(ledger).encode(model_at(0), 0).payloads == sent.payloads
    assert ledger.totals.pushes == 1


def test_local_steps_and_scaffold_cost_no_bytes_and_no_epsilon() -> None:
    sizes = set()
    for local in ("", "optimizer=sgd(lr=0.1)", "optimizer=sgd(lr=0.1), scaffold=true"):
        ledger = ledger_for(PRIVATE)
        sent = Setup(local, PRIVATE).encoder(ledger).encode(model_at(0), 0)
        sizes.add((tuple(map(len, sent.payloads)), ledger.totals.pure))
    assert len(sizes) == 1
