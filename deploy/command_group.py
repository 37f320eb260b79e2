"""Groups whose commands are modules: listed without being imported, imported when they are called.

The first line of a module's docstring is its line in the group's help, the lines under ``Examples:`` end its own help.
The command is the function, or the Typer application, that is named like the module; a package is a group in turn.
"""

from __future__ import annotations

import tokenize
from ast import literal_eval
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from inspect import cleandoc
from io import StringIO
from pkgutil import iter_modules
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from gradwire.common.errors import ConfigError
from gradwire.deploy import interrupts

ENTRY_POINTS = "gradwire.commands"  # the group by which installed packages add commands


@dataclass(frozen=True)
class CommandModule:
    """A command by its name and module.

    Attributes:
        attribute: of the module; empty for a package.
    """

    name: str
    module: str
    attribute: str

    @classmethod
    def of(cls, entry: EntryPoint) -> CommandModule:
        """The command that an installed package adds."""
        return cls(entry.name, entry.module, entry.attr or "")

    @cached_property
    def documentation(self) -> tuple[str, tuple[str, ...]]:
        """The module's summary and examples, read from its source: nothing but its parent packages is imported."""
        text = cleandoc(_docstring(self.module))
        _, _, examples = text.partition("\nExamples:\n")
        return text.partition("\n")[0], tuple(line.strip() for line in examples.splitlines() if line.strip())

    def listed(self) -> TyperCommand:
        """A stand-in with what the group's help shows."""
        return TyperCommand(self.name, help=self.documentation[0], rich_markup_mode=None)

    def target(self) -> Any:
        """Import the command: its function, its Typer application, or its package.

        Raises:
            ConfigError: the module, or the function in it, is missing.
        """
        try:
            module = import_module(self.module)
        except ImportError as error:
            raise ConfigError(f"the command {self.name} cannot be loaded: {error}") from error
        if self.attribute and not hasattr(module, self.attribute):
            raise ConfigError(
                f"the command {self.name} cannot be loaded: {self.module} has no {self.attribute}"
            )
        return getattr(module, self.attribute) if self.attribute else module

    def load(self) -> Any:
        """Import the command, as Typer calls it.

        Raises:
            ConfigError: as ``target``.
        """
        target = self.target()
        summary, examples = self.documentation
        if hasattr(target, "__path__"):
            table = CommandTable(self.module)
            about: dict[str, Any] = {"name": self.name, "help": summary, "no_args_is_help": True}
            return CommandGroup(table=table, epilog=example(*examples), rich_markup_mode=None, **about)
        if not isinstance(target, typer.Typer):
            function, target = target, typer.Typer(rich_markup_mode=None, add_completion=False)
            target.command(self.name)(function)
        command = get_command(target)
        command.name, command.epilog = self.name, example(*examples)
        return command


def example(*lines: str) -> str:
    """The end of a command's help: command lines to copy, which are never re-wrapped."""
    return "\n".join(["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])


def _docstring(module: str) -> str:
    """The first string of a module's source, without compiling the rest; empty where there is no source."""
    try:
        spec = find_spec(module)
        source = spec.loader.get_source(module) if spec is not None else ""  # type: ignore[union-attr]
    except (ImportError, AttributeError):
        return ""
    for token in tokenize.generate_tokens(StringIO(source or "").readline):
        if token.type == tokenize.STRING:
            return str(literal_eval(token.string))
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE):
            break
    return ""


class CommandTable(Mapping[str, CommandModule]):
    """The commands of a group: the modules of a package and, where asked for, those that installed packages add.

    Args:
        package: its modules are the commands; an underscore in a module's name is a dash in the command's.
        installed: also those of the entry point group ``gradwire.commands``, which is looked up only for a name that
            is none of the package's, or for all names. The package's own commands cannot be replaced.
    """

    def __init__(self, package: str, *, installed: bool = False) -> None:
        self._package, self._installed = package, installed

    @cached_property
    def _own(self) -> dict[str, CommandModule]:
        spec = find_spec(self._package)
        assert spec is not None
        modules = sorted(iter_modules(spec.submodule_search_locations), key=lambda module: module.name)
        commands = (
            CommandModule(
                module.name.replace("_", "-"),
                f"{self._package}.{module.name}",
                "" if module.ispkg else module.name,
            )
            for module in modules
        )
        return {command.name: command for command in commands}

    @cached_property
    def _all(self) -> dict[str, CommandModule]:
        found = map(CommandModule.of, entry_points(group=ENTRY_POINTS) if self._installed else ())
        commands = {command.name: command for command in found} | self._own
        return dict(sorted(commands.items()))

    def __getitem__(self, name: str) -> CommandModule:
        return self._own[name] if name in self._own else self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


class CommandGroup(TyperGroup):
    """A group that knows its commands by name and docstring until one of them is called."""

    table: ClassVar[CommandTable]

    def __init__(self, *, table: CommandTable | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        # Typer reads the names alone, to suggest one.
        self.commands: Any = table if table is not None else self.table

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return self.commands[cmd_name].listed() if cmd_name in self.commands else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            command = self.commands[name].load()
            interrupts.raise_keyboard_interrupt()
        return name, command, rest
