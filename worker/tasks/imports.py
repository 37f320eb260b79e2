"""Task kinds that import a user's own code, and only what this machine's user has allowed.

The server names a run's task. Importing a module that the network names would let the server run any module here; so a
target must be, letter for letter, in the list from the local command line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gradwire.common.errors import SpecError, TaskError
from gradwire.common.extensions import check_target, import_target
from gradwire.worker.tasks.base import TaskKind


@dataclass(frozen=True)
class ImportingKind(TaskKind):
    """Base of the task kinds whose first parameter names a factory, ``package.module:factory``.

    Attributes:
        allow_import: targets that may be imported; no spec can set it.
    """

    target: str
    allow_import: frozenset[str] = field(default=frozenset(), kw_only=True, metadata={"spec": False})

    def __post_init__(self) -> None:
        check_target(self.target)

    @property
    def own_data(self) -> bool:
        """What the user's code loads counts as this process's own."""
        return True

    @property
    def known_dim(self) -> int | None:
        """None: only the user's code knows it, and a spec alone does not run that."""
        return None

    def factory(self) -> Callable[..., Any]:
        """The factory, imported.

        Raises:
            TaskError: not allowed here, not to be imported, or not callable.
        """
        if self.target not in self.allow_import:
            raise TaskError(
                f"this run wants code from {self.target}, which is not allowed here: "
                f"if you trust it, start the worker with --allow-task {self.target}"
            )
        try:
            factory = import_target(self.target)
        except SpecError as error:
            raise TaskError(str(error)) from error
        if not callable(factory):
            raise TaskError(f"{self.target} is a {type(factory).__name__}, expected a function")
        return factory  # type: ignore[no-any-return]
