"""Tasks by name: ``mlp(mnist, hidden=50)`` → a task.

The name and the parameters may come from the server, over the network. They select among the kinds that are registered
here; kinds that run a user's own code (``torch``, ``custom``) do so only for targets that this machine's user allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from gradwire.common.registry import Registry
from gradwire.common.spec import Spec, parse_spec
from gradwire.worker.site import Site
from gradwire.worker.tasks.base import Task, TaskKind
from gradwire.worker.tasks.imports import ImportingKind

_REGISTRY: Registry[TaskKind] = Registry("task", TaskKind, "gradwire.tasks")
register_task = _REGISTRY.register


def task_kinds() -> Mapping[str, type[TaskKind]]:
    """Every registered kind by name."""
    return MappingProxyType(_REGISTRY)


def parse_task(text: str | Spec, *, allow_import: Collection[str] = ()) -> TaskKind:
    """The kind of task that a spec describes, its parameters checked; loads no data and imports nothing.

    Args:
        text: the spec.
        allow_import: ``package.module:factory`` targets that ``torch`` and ``custom`` may import when they are built.
            They come from this machine's command line, never from the wire.

    Raises:
        SpecError: an unknown name; an unknown, missing or impossible parameter.

    >>> parse_task("mlp(mnist, hidden=50)")
    MlpKind(dataset='mnist', hidden=50, batch=0)
    """
    spec = parse_spec(text) if isinstance(text, str) else text
    if issubclass(_REGISTRY.find(spec.name), ImportingKind):
        return _REGISTRY.build(spec, allow_import=frozenset(_listed(allow_import)))
    return _REGISTRY.build(spec)


def build_task(
    text: str | Spec,
    *,
    workers: int,
    seed: int,
    site: Site | None = None,
    partition: Spec | None = None,
    allow_import: Collection[str] = (),
) -> Task:
    """The task that a spec such as ``logistic(a9a)`` describes, its data loaded.

    Args:
        text: the spec.
        workers: logical workers of the run.
        seed: of the run.
        site: the process that trains, with its own data; None for one that hosts all workers.
        partition: how one data set is dealt to all workers, see ``TaskKind.build``.
        allow_import: as in ``parse_task``.

    Raises:
        SpecError: a spec that describes no task.
        DataError: its data set is missing or damaged.
        TaskError: it cannot be built here: too many workers, or code that is not allowed.
    """
    site = site or Site(workers=tuple(range(workers)), seed=seed)
    return parse_task(text, allow_import=allow_import).build(site, workers=workers, partition=partition)


def _listed(targets: Collection[str]) -> Collection[str]:
    """A single string would allow every target that it contains."""
    return [targets] if isinstance(targets, str) else targets
