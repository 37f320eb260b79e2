"""Parts from outside the package: entry points of installed packages, and targets that a command line allows.

Nothing is imported because a message or a configuration names it. Installed packages declare their parts as entry
points, and all of a group are loaded together when its registry is first read, whatever was asked for. A user's own
file is imported when the local command line allows it, letter for letter: ``--allow-codec mine:Codec``.
"""

from __future__ import annotations

import importlib
import re
from importlib.metadata import entry_points
from typing import Any

from gradwire.common.errors import SpecError

_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def check_target(target: str) -> None:
    """Check the form of a target.

    Raises:
        SpecError: not ``package.module:name``.
    """
    if _TARGET.fullmatch(target) is None:
        raise SpecError(f"the target is {target!r}, expected package.module:name")


def import_target(target: str) -> Any:
    """What ``package.module:name`` names, imported. The caller has checked that this machine's user allows it.

    Raises:
        SpecError: not of that form, not to be imported, or without such a name.
    """
    check_target(target)
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SpecError(
            f"cannot import {target}: {error}; install the package or put its folder on PYTHONPATH"
        ) from error
    except Exception as error:  # whatever the module raises when it is imported
        raise SpecError(
            f"importing {module} raised {type(error).__name__}: {error}; correct the module"
        ) from error


def installed(group: str) -> dict[str, Any]:
    """Every entry point of a group by name: what it names, or the SpecError that says why it cannot be loaded."""
    found: dict[str, Any] = {}
    for entry in entry_points(group=group):
        try:
            found[entry.name] = import_target(entry.value)
        except SpecError as error:
            package = entry.dist.name if entry.dist is not None else "an installed package"
            found[entry.name] = SpecError(f"{entry.name!r} of {package}: {error}")
    return found
