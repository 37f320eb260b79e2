"""Grids of parameters: a few points in the quick suite and the others in the slow one, or many points in one test."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def rest_slow(values: Iterable[Any], quick: int = 1) -> list[Any]:
    """Values for ``parametrize``: the first ``quick`` of them as they are, the others marked slow.

    A tuple is the values of one case, as for ``parametrize``; a case of ``pytest.param`` keeps its id and marks.
    """
    return [value if i < quick else _slow(value) for i, value in enumerate(values)]


def _slow(value: Any) -> Any:
    if hasattr(value, "marks"):
        return pytest.param(*value.values, id=value.id, marks=[*value.marks, pytest.mark.slow])
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)


def looped(names: str, values: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As ``parametrize``, but one test runs all cases: small ones take longer to collect and report than to run.

    The report of a failure names the case. ``names`` are separated by commas; a case may be one of ``pytest.param``.
    """
    cases = [_case(names, value) for value in values]

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            for label, case in cases:
                try:
                    test(*args, **kwargs, **case)
                except BaseException as error:
                    error.add_note(f"where {label}")
                    raise

        signature = inspect.signature(test)
        kept = [p for p in signature.parameters.values() if p.name not in cases[0][1]]
        run.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        return run

    return decorate


def _case(names: str, value: Any) -> tuple[str, dict[str, Any]]:
    split = [name.strip() for name in names.split(",")]
    given = value.values if hasattr(value, "marks") else value if len(split) > 1 else (value,)
    case = dict(zip(split, given, strict=True))
    label = getattr(value, "id", None) or ", ".join(f"{name} = {each!r}" for name, each in case.items())
    return label, case
