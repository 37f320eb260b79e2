"""``python -m gradwire.deploy.reference``: writes docs/commands.md, the reference of every command and flag."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from importlib.metadata import entry_points
from inspect import getdoc
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from typer.models import ArgumentInfo
from typer.utils import get_params_from_function

from gradwire.deploy.command_group import ENTRY_POINTS, CommandModule, CommandTable
from gradwire.deploy.exit_codes import MEANINGS

TYPES = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH"}
PAGE = """# Commands

Written by `make docs` from the commands themselves: `gradwire COMMAND --help` shows the same. Each file of
[deploy/commands](../deploy/commands) and [bench/commands](../bench/commands) is a command; installed packages add
theirs by the entry point group `gradwire.commands`.

`gradwire --debug COMMAND` (or the environment variable `GRADWIRE_DEBUG`) shows the traceback of an error, and
`gradwire --version` the version. `gradwire run` and `gradwire server` also read a TOML file (`--config`): its keys are
the names of the flags, with underscores for dashes; flags override the file, and each command ignores the options of
the other.
"""


def page() -> str:
    """The whole page."""
    commands = dict(_commands())
    index = (
        f"| [`{name}`](#{name.replace(' ', '-')}) | {c.documentation[0]} |" for name, c in commands.items()
    )
    codes = (f"| {code} | {meaning} |" for code, meaning in MEANINGS.items())
    parts = [PAGE, _table("command", "purpose", index), "## Exit codes\n", _table("code", "meaning", codes)]
    return "\n".join([*parts, *(_section(name, command) for name, command in commands.items())])


def _commands() -> Iterator[tuple[str, CommandModule]]:
    """Every command of this distribution, by the words that call it; no other package's."""
    added = (
        entry for entry in entry_points(group=ENTRY_POINTS) if entry.dist and entry.dist.name == "gradwire"
    )
    for command in (*CommandTable("gradwire.deploy.commands").values(), *map(CommandModule.of, added)):
        yield from _leaves("gradwire", command)


def _leaves(prefix: str, command: CommandModule) -> Iterator[tuple[str, CommandModule]]:
    """The command, or those of its group."""
    name = f"{prefix} {command.name}"
    if command.attribute:
        yield name, command
        return
    for inner in CommandTable(command.module).values():
        yield from _leaves(name, inner)


def _section(name: str, command: CommandModule) -> str:
    function, (_, examples) = command.target(), command.documentation
    shown = "".join(f"$ {line}\n" for line in examples)
    rows = (
        _row(meta.default, meta.annotation, key) for key, meta in get_params_from_function(function).items()
    )
    table = _table("option", "meaning", rows)
    return f"## {name}\n\n{getdoc(function)}\n\n```console\n{shown}```\n\n{table}"


def _table(first: str, second: str, rows: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in (f"| {first} | {second} |", "| --- | --- |", *rows))


def _row(info: Any, hint: Any, name: str) -> str:
    kind, many = _kind(hint)
    flags = info.param_decls or (f"--{name.replace('_', '-')}",)
    value = info.metavar or ("" if kind is bool else _type(kind))
    if isinstance(info, ArgumentInfo):
        flags, value = (value,), ""
    names = ", ".join(f"`{flag}{f' {value}' if value else ''}`" for text in flags for flag in text.split("/"))
    notes = [*_notes(info), *(["may be repeated"] if many and "repeated" not in info.help else [])]
    extra = f" ({'; '.join(notes)})" if notes else ""
    return f"| {names} | {info.help}{extra} |".replace("\n", " ")


def _notes(info: Any) -> Iterator[str]:
    """What ``--help`` adds to the help text."""
    if info.default is ...:
        yield "required"
    elif info.default is not None and info.default is not False:
        yield f"default: {info.default.value if isinstance(info.default, Enum) else info.default}"
    if info.min is not None:
        yield f"at least {info.min}" if info.max is None else f"{info.min} to {info.max}"
    if info.envvar:
        yield f"environment: `{info.envvar}`"


def _kind(hint: Any) -> tuple[Any, bool]:
    """The type of one value, and whether there may be several."""
    given = [part for part in get_args(hint) if part is not NoneType]
    kind = given[0] if NoneType in get_args(hint) else hint
    return (get_args(kind)[0], True) if get_origin(kind) is list else (kind, False)


def _type(kind: Any) -> str:
    if issubclass(kind, Enum):
        return "\\|".join(str(member.value) for member in kind)
    return TYPES[kind]


if __name__ == "__main__":
    print(page(), end="")
