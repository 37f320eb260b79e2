"""The ``gradwire`` command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from gradwire.deploy.command_group import CommandGroup, CommandModule, CommandTable, example
from gradwire.deploy.exit_codes import BAD_INPUT, DEBUG, run_command

# gRPC writes nothing by itself: the commands report what a user should know of a connection.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

PACKAGE = "gradwire.deploy.commands"
SUMMARY, EXAMPLES = CommandModule("gradwire", PACKAGE, "").documentation
COMMANDS = CommandTable(PACKAGE, installed=True)


class Commands(CommandGroup):
    """The commands of ``gradwire``: those of this package and those that installed packages add."""

    table = COMMANDS


app = typer.Typer(cls=Commands, rich_markup_mode=None, epilog=example(*EXAMPLES))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"gradwire {version('gradwire')}")
        raise typer.Exit


@app.callback(invoke_without_command=True, help=SUMMARY)
def root(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", envvar=DEBUG, help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Handle the options before a command."""
    if debug:
        os.environ[DEBUG] = "1"  # child processes inherit it
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(BAD_INPUT)


def call(args: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    command = typer.main.get_command(app)
    return run_command(lambda: command.main(list(args), prog_name="gradwire", standalone_mode=False))


def main() -> None:
    """Run this process's command line and exit."""
    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    main()
