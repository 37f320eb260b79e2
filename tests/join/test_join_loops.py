"""Loops over batches and plain ones: how they end, and what a step does after the end."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import DataError, FailedPrecondition, TaskError
from gradwire.worker.join.run import Finished, JoinedRun
from tests.join.fake_run import joined


def zeros(size: int = 3) -> dict[str, Any]:
    return {"w": np.zeros(size, np.float32)}


def test_batches_go_on_for_epochs_and_end_with_the_run() -> None:
    seen = []
    with joined(zeros(), rounds=4, every=2) as (run, link):
        for batch in run.batches([1, 2, 3]):
            seen.append(batch)
            run.step()
        assert run.finished
    assert seen == [1, 2, 3, 1, 2, 3, 1, 2] and len(link.updates) == 4 and link.left == [""]


def test_a_plain_loop_ends_by_finished() -> None:
    steps = 0

    def loop(run: JoinedRun) -> None:
        nonlocal steps
        while True:
            steps += 1
            run.step()

    with joined(zeros(), rounds=2, every=3) as (run, _):
        with pytest.raises(Finished, match="the run is finished after 2 rounds") as ended:
            loop(run)
        assert ended.value.run is run and run.finished
        assert run.__exit__(Finished, ended.value, None)
    assert steps == 6


def test_a_run_that_is_finished_when_it_is_joined() -> None:
    """A plain loop ends by its first step, a loop over batches before its first batch; later steps are refused."""
    model = zeros()
    with joined(model, rounds=0, every=3) as (run, link):
        assert run.finished
        for array in model.values():
            array += 1
        with pytest.raises(Finished) as ended:
            run.step()
        assert not any(array.any() for array in model.values())  # the run's again
        assert run.__exit__(Finished, ended.value, None) and not link.updates
        with pytest.raises(FailedPrecondition, match="takes no more steps"):
            run.step()
    with joined(zeros(), rounds=0) as (run, _):
        assert list(run.batches([1, 2])) == []
        with pytest.raises(FailedPrecondition, match="takes no more steps"):
            run.step()


def test_a_block_absorbs_nothing_else_than_the_end_of_its_run() -> None:
    with joined(zeros(), rounds=1) as (other, _), pytest.raises(Finished) as ended:
        other.step()
    for error in (ended.value, KeyboardInterrupt(), ValueError(), StopIteration()):
        with joined(zeros()) as (run, link):
            assert not run.__exit__(type(error), error, None)
        assert link.left == [f"its loop ended with {type(error).__name__}"]


def test_a_step_inside_batches_of_two_loops_raises_nothing() -> None:
    """The inner loop ends first; what the outer one does after it is still inside a loop that ends by itself."""
    outer = []
    with joined(zeros(), rounds=4) as (run, _):
        for batch in run.batches("ab"):
            outer.append(batch)
            for _inner in run.batches([0]):
                run.step()
                break
            run.step()
    assert outer == ["a", "b"] and run.finished


def test_break_and_a_loop_of_ones_own_afterwards() -> None:
    with joined(zeros(), rounds=2) as (run, _):
        for _batch in run.batches([0, 1]):
            run.step()
            break
        with pytest.raises(Finished):
            run.step()


@pytest.mark.parametrize("loader", [[], iter(()), {}])
def test_a_loader_without_batches(loader: Any) -> None:
    with joined(zeros()) as (run, _), pytest.raises(DataError, match="the loader gave no batch: it is empty"):
        list(run.batches(loader))


def test_an_iterator_that_is_used_up() -> None:
    says = "the loader gave no batch: it is empty, or an iterator that is used up; pass what can be iterated"
    with joined(zeros()) as (run, _):
        batches = run.batches(iter([1, 2]))
        assert (next(batches), next(batches)) == (1, 2)
        with pytest.raises(DataError, match=says):
            next(batches)


def test_the_loader_is_closed_where_the_run_ends() -> None:
    ended = []

    class Loader:
        def __iter__(self) -> Iterator[int]:
            try:
                yield from range(10)
            finally:
                ended.append(True)

    with joined(zeros(), rounds=3) as (run, _):
        for _batch in run.batches(Loader()):
            run.step()
        assert ended == [True]


def test_a_step_after_the_end() -> None:
    with joined(zeros(), rounds=1, every=50) as (run, _):
        for _batch in run.batches([0]):
            run.step()
        with pytest.raises(
            FailedPrecondition, match="finished after 1 rounds and takes no more steps: end the l"
        ):
            run.step()
    with pytest.raises(FailedPrecondition, match="the run is finished after 1 rounds"):
        run.step()


def test_a_step_after_leaving() -> None:
    with joined(zeros(), every=50) as (run, link):
        run.leave()
        run.leave()
        with pytest.raises(
            FailedPrecondition, match=r"this site has left the run: call gradwire\.join again"
        ):
            run.step()
    assert link.left == ["its loop ended before the run did"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError("patient 4711"), "ValueError"),  # a message may speak of the data
        (TaskError("w is gone"), "TaskError: w is gone"),
    ],
)
def test_a_step_that_is_interrupted_has_left(error: BaseException, reason: str) -> None:
    """Nobody knows then whose turn it is: a later step would wait for an answer that went to the interrupted one."""
    with joined(zeros()) as (run, link):
        link.failing = error
        with pytest.raises(type(error)):
            run.step()
        assert link.left == [f"its loop ended with {reason}"]
        with pytest.raises(FailedPrecondition, match="this site has left the run"):
            run.step()
