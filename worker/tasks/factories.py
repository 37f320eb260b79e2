"""Calling a user's factory with those of the offered values that its parameters name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from gradwire.common.errors import TaskError
from gradwire.worker.site import Site
from gradwire.worker.tasks.checked import user_code

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def call_factory(factory: Callable[..., Any], target: str, *, site: Site, workers: int) -> Any:
    """What a factory returns that may take any of ``seed``, ``workers`` and ``site``.

    Args:
        factory: the user's function or class.
        target: names it in errors, ``package.module:name``.
        site: the process, its workers and its own data; ``seed`` is its seed.
        workers: logical workers in the whole run.

    Raises:
        TaskError: it needs something else, or raised an exception.
    """
    given = _named(factory, target, {"seed": site.seed, "workers": workers, "site": site})
    written = ", ".join(f"{name}={'…' if name == 'site' else value}" for name, value in given.items())
    with user_code(f"{target}({written})"):
        return factory(**given)


def takes(factory: Callable[..., Any], name: str) -> bool:
    """Whether a factory has a parameter of that name, or takes any."""
    parameters = _parameters(factory)
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _named(factory: Callable[..., Any], target: str, offered: Mapping[str, Any]) -> dict[str, Any]:
    """The offered values that the factory takes."""
    for name, parameter in _parameters(factory).items():
        required = parameter.default is parameter.empty and parameter.kind in (
            *_BY_NAME,
            parameter.POSITIONAL_ONLY,
        )
        if required and (name not in offered or parameter.kind is parameter.POSITIONAL_ONLY):
            raise TaskError(
                f"{target} needs {name}, which it is not given: a factory may take any of {', '.join(offered)} by name"
            )
    return {name: value for name, value in offered.items() if takes(factory, name)}


def _parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except ValueError:  # built-in callables may have none
        return {}
