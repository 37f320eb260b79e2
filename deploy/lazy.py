"""A command group that imports a command when it is run: ``gradwire --help`` loads none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from gradwire.deploy import interrupts


def example(*lines: str) -> str:
    """The end of a command's help: command lines to copy, which are never re-wrapped."""
    return "\n".join(["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])


class Listed(NamedTuple):
    """A command as the group's help shows it, and how to come by the rest.

    Attributes:
        summary: one line for the list of commands.
        examples: command lines, the end of its help.
        load: imports and returns its function, or a Typer application of sub-commands.
    """

    summary: str
    examples: tuple[str, ...]
    load: Callable[[], Callable[..., Any] | typer.Typer]

    def command(self, name: str) -> Any:
        """Import the command."""
        target = self.load()
        if not isinstance(target, typer.Typer):
            function, target = target, plain_typer()
            target.command(name)(function)
        command = get_command(target)
        command.name, command.epilog = name, example(*self.examples)
        return command


def plain_typer(**settings: Any) -> typer.Typer:
    """An application whose help is plain text: fast, and the same in a terminal, a pipe and a document."""
    return typer.Typer(rich_markup_mode=None, add_completion=False, **settings)


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and summary until one of them is called."""

    listed: ClassVar[Mapping[str, Listed]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, entry in self.listed.items():
            self.add_command(TyperCommand(name, help=entry.summary, rich_markup_mode=None), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in self.listed:
            command = self.listed[name].command(name)
            interrupts.take()
        return name, command, rest
