"""Work on the run ends as a whole, its refusals go to the caller, other errors end the run; deadlines fire once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gradwire.common.errors import LogError, OutOfRange
from gradwire.server.deadline import Deadline
from gradwire.server.executor import RunExecutor

Play = Callable[[RunExecutor], Awaitable[None]]


def play(act: Play) -> list[BaseException]:
    """Let an executor do something; the errors that would end the run."""
    failures: list[BaseException] = []

    async def main() -> None:
        executor = RunExecutor(failures.append)
        async with asyncio.timeout(30):
            await act(executor)
        executor.close()

    asyncio.run(main())
    return failures


def test_work_ends_although_its_caller_is_cancelled() -> None:
    async def act(executor: RunExecutor) -> None:
        begun, let, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            await let.wait()
            ended.set()

        caller = asyncio.create_task(executor.run(work()))
        await begun.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        let.set()
        await ended.wait()

    assert play(act) == []


@pytest.mark.parametrize("error", [OutOfRange("a refusal"), LogError("a full disk"), ValueError("a fault")])
def test_a_refusal_is_the_callers_and_any_other_error_ends_the_run(error: Exception) -> None:
    async def act(executor: RunExecutor) -> None:
        async def work() -> None:
            raise error

        with pytest.raises(type(error)):
            await executor.run(work())

    assert play(act) == ([] if isinstance(error, OutOfRange) else [error])


def test_an_error_that_nobody_waits_for_ends_the_run_too() -> None:
    error = ValueError("a fault")

    async def act(executor: RunExecutor) -> None:
        async def work() -> None:
            raise error

        await asyncio.wait([executor.start(work())])

    assert play(act) == [error]


def test_disk_calls_run_one_after_the_other() -> None:
    order: list[int] = []

    async def act(executor: RunExecutor) -> None:
        await asyncio.gather(*(executor.on_disk(order.append, i) for i in range(100)))
        assert await executor.on_disk(max, 3, 4) == 4

    assert play(act) == [] and order == list(range(100))


def test_the_deadline_of_the_round_that_was_armed_last_passes() -> None:
    async def main() -> None:
        passed: asyncio.Queue[int] = asyncio.Queue()
        deadline = Deadline(1e-3, passed.put_nowait)
        deadline.arm(3)
        deadline.arm(4)
        async with asyncio.timeout(30):
            assert await passed.get() == 4
        deadline.arm(5)
        deadline.cancel()
        deadline.cancel()
        deadline.arm(6)
        async with asyncio.timeout(30):
            assert await passed.get() == 6
        assert passed.empty()

    asyncio.run(main())


def test_without_a_deadline_nothing_passes() -> None:
    async def main() -> None:
        deadline = Deadline(0.0, lambda round_: pytest.fail("no deadline is configured"))
        deadline.arm(1)
        assert deadline._timer is None
        await asyncio.sleep(0)

    asyncio.run(main())
