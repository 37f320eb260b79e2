"""The one place that imports a user's own code, and only what this machine's user has allowed.

A run's task is named by the server. Importing a module that the network names would let whoever runs the server run any
module here; so a target must stand, letter for letter, in the list that the local command line gave.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gradwire.common.errors import SpecError, TaskError
from gradwire.worker.tasks.base import TaskKind

_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class ImportingKind(TaskKind):
    """Base of the task kinds whose first parameter names a factory, ``package.module:factory``.

    Attributes:
        allow_import: targets that may be imported; no spec can set it.
    """

    target: str
    allow_import: frozenset[str] = field(default=frozenset(), kw_only=True, metadata={"spec": False})

    def __post_init__(self) -> None:
        if _TARGET.fullmatch(self.target) is None:
            raise SpecError(f"the target is {self.target!r}, expected package.module:factory")

    @property
    def known_dim(self) -> int | None:
        """None: it takes the code to know, and that is not run to look at a spec."""
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
        module, _, name = self.target.partition(":")
        try:
            factory = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise TaskError(
                f"cannot import {self.target}: {error}; install the package or put its folder on PYTHONPATH"
            ) from error
        except Exception as error:  # whatever the user's module does when it is imported
            raise TaskError(
                f"importing {module} raised {type(error).__name__}: {error}; correct the module"
            ) from error
        if not callable(factory):
            raise TaskError(f"{self.target} is a {type(factory).__name__}, expected a function")
        return factory  # type: ignore[no-any-return]
