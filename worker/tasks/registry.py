"""Tasks by name: ``mlp`` with its parameters → a task.

The name and the parameters may come from the server, over the network. They select among the kinds that are registered
here; kinds that run a user's own code (``torch``, ``custom``) do so only for targets that this machine's user allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from gradwire.common.errors import SpecError
from gradwire.common.spec import Spec, bind_arguments, did_you_mean, parse_spec
from gradwire.worker.tasks.base import Task, TaskKind
from gradwire.worker.tasks.imports import ImportingKind

_KINDS: dict[str, type[TaskKind]] = {}
Kind = TypeVar("Kind", bound=type[TaskKind])


def register_task(name: str) -> Callable[[Kind], Kind]:
    """Class decorator that gives a task kind its name.

    Raises:
        SpecError: the name is taken.
    """

    def register(kind: Kind) -> Kind:
        if name in _KINDS:
            raise SpecError(f"the task name {name!r} is taken by {_KINDS[name].__qualname__}: choose another")
        _KINDS[name] = kind
        return kind

    return register


def task_kinds() -> dict[str, type[TaskKind]]:
    """Every registered kind by name, in alphabetical order."""
    return dict(sorted(_KINDS.items()))


def kind_of(spec: Spec) -> TaskKind:
    """The kind that a spec describes, its parameters checked; loads no data and imports nothing.

    Raises:
        SpecError: an unknown name; an unknown, missing or impossible parameter.

    >>> kind_of(parse_spec("mlp(mnist, hidden=50)"))
    MlpKind(dataset='mnist', hidden=50, batch=0)
    """
    if spec.name not in _KINDS:
        raise SpecError(f"no task is called {spec.name!r}{did_you_mean(spec.name, _KINDS)}")
    cls = _KINDS[spec.name]
    return cls(**bind_arguments(spec, cls))


def build_spec(spec: Spec | str, *, workers: int, seed: int, allow_import: Collection[str] = ()) -> Task:
    """The task that a spec such as ``logistic(a9a)`` describes.

    Args:
        allow_import: ``package.module:factory`` targets that ``torch`` and ``custom`` may import. They come from this
            machine's command line, never from the wire.

    Raises:
        SpecError: a spec that describes no task.
        DataError: its data set is missing or damaged.
        TaskError: it cannot be built here: too many workers, or code that is not allowed.
    """
    kind = kind_of(parse_spec(spec) if isinstance(spec, str) else spec)
    if isinstance(kind, ImportingKind):
        kind = replace(kind, allow_import=frozenset(_listed(allow_import)))
    return kind.build(workers=workers, seed=seed)


def _listed(targets: Collection[str]) -> Collection[str]:
    """A single string would allow every target that it contains."""
    return [targets] if isinstance(targets, str) else targets


def build_task(
    name: str, params: Mapping[str, Any], *, workers: int, seed: int, allow_import: Collection[str] = ()
) -> Task:
    """``build_spec`` for a name and its parameters by name, as TOML gives them.

    Raises:
        SpecError, DataError, TaskError: as for ``build_spec``.
    """
    spec = Spec(name, (), tuple(params.items()))
    return build_spec(spec, workers=workers, seed=seed, allow_import=allow_import)
