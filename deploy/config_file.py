"""Flags of a command in the configuration file: each has its key there, and the command line overrides it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradwire.common.training.config import COMMAND_KEYS, read_toml, typed


def take_flags(context: Any, path: Path | None) -> Path | None:
    """What the option ``--config`` calls back, before other options are read: the file's values become their defaults.

    Args:
        context: the command line library's; settings of the run are left to ``load_config``, and so are keys that
            belong to another command: one file does for all of them.

    Raises:
        ConfigError: no such file, not TOML, or a value of the wrong type.
    """
    given = read_toml(None if path is None else Path(path))
    defaults = dict(context.default_map or {})
    for parameter in context.command.params:
        key = key_of(parameter)
        if key in COMMAND_KEYS and key in given:
            defaults[parameter.name] = typed(key, given[key], COMMAND_KEYS[key])
    context.default_map = defaults
    return path


def key_of(parameter: Any) -> str:
    """The key of an option in the file: its flag without dashes in front, and with underscores inside."""
    return str(max(parameter.opts, key=len)).lstrip("-").replace("-", "_")
