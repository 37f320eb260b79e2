"""Calls that take long, in a thread beside the event loop, or in place where nothing else waits for the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_in_place: ContextVar[bool] = ContextVar("in_place", default=False)


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a call, made in a thread of the loop's default executor."""
    if _in_place.get():
        return call(*args, **kwargs)
    return await asyncio.to_thread(call, *args, **kwargs)


async def in_executor(executor: Executor, call: Callable[..., T], *args: object) -> T:
    """The result of a call, made by an executor."""
    if _in_place.get():
        return call(*args)
    return await asyncio.get_running_loop().run_in_executor(executor, call, *args)


@contextmanager
def in_place() -> Iterator[None]:
    """Make such calls of this task, and of tasks that it starts, in the event loop's own thread.

    For programs in which no socket waits for the loop: a change of threads takes longer than a short call.
    """
    token = _in_place.set(True)
    try:
        yield
    finally:
        _in_place.reset(token)
