"""The ``gradwire`` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from gradwire.deploy.exit_codes import BAD_INPUT, DEBUG, guarded
from gradwire.deploy.lazy import LazyGroup, Listed, example

os.environ.setdefault(
    "GRPC_VERBOSITY", "NONE"
)  # what a user should know of a connection, the commands say themselves


def _run() -> Callable[..., Any]:
    from gradwire.deploy.commands.run import run

    return run


def _server() -> Callable[..., Any]:
    from gradwire.deploy.commands.server import server
    from gradwire.deploy.preflight import checked_first

    return checked_first(server)


def _worker() -> Callable[..., Any]:
    from gradwire.deploy.commands.worker import worker

    return worker


def _codecs() -> Callable[..., Any]:
    from gradwire.deploy.commands.codecs import codecs

    return codecs


def _plan() -> Callable[..., Any]:
    from gradwire.deploy.commands.plan import plan

    return plan


def _bench() -> typer.Typer:
    from gradwire.bench.command import bench

    return bench


def _certs() -> Callable[..., Any]:
    from gradwire.deploy.commands.certs import certs

    return certs


def _health() -> Callable[..., Any]:
    from gradwire.deploy.commands.health import health

    return health


def _data() -> typer.Typer:
    from gradwire.deploy.commands.data import data

    return data


FIRST_RUN = "gradwire run --task 'mlp(digits, hidden=64)' --codec 'cross_polytope(repeats=100)' --workers 4"

COMMANDS = {
    "run": Listed(
        "Train on this machine: one server and its workers.",
        (FIRST_RUN, "gradwire run --config run.toml --state-dir runs/one --json runs/one.json"),
        _run,
    ),
    "server": Listed(
        "Serve one run: gather the workers' payloads, keep the log.",
        (
            "gradwire server --listen 127.0.0.1:50051 --task 'mlp(digits, hidden=64)' --workers 4 --state-dir runs/one",
        ),
        _server,
    ),
    "worker": Listed(
        "Take part in a run: compute gradients, send their payloads.",
        ("gradwire worker --server 127.0.0.1:50051 --name alice --count 2",),
        _worker,
    ),
    "certs": Listed(
        "Make certificates: for the server and for each worker.",
        (
            "gradwire certs --host train.example --worker alice --worker bob",
            "gradwire certs --worker carol",
        ),
        _certs,
    ),
    "health": Listed(
        "Say whether a server listens on this host: for containers.",
        ("gradwire health --port 50051",),
        _health,
    ),
    "codecs": Listed(
        "List the codecs: bits, variance and privacy of each.",
        ("gradwire codecs --dim 795010",),
        _codecs,
    ),
    "plan": Listed(
        "Choose a codec: those that fit, best first.",
        (
            "gradwire plan --dim 795010 --bits 2060",
            "gradwire plan --task 'logistic(a9a)' --bits 1000 --epsilon 8 --rounds 200 --delta 1e-5",
        ),
        _plan,
    ),
    "bench": Listed(
        "Measure speed, variances, privacy, and bytes on the wire.",
        ("gradwire bench encode --dim 12332010", "gradwire bench wire --hosts netns --workers 4"),
        _bench,
    ),
    "data": Listed(
        "List the data sets and fetch them.",
        ("gradwire data fetch mnist",),
        _data,
    ),
}


class Commands(LazyGroup):
    """The commands of gradwire."""

    listed = COMMANDS


app = typer.Typer(cls=Commands, rich_markup_mode=None, epilog=example(FIRST_RUN))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"gradwire {version('gradwire')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", envvar=DEBUG, help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Gradients over the wire in a fixed number of bits."""
    if debug:
        os.environ[DEBUG] = "1"  # the processes that we start hear of it too
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(BAD_INPUT)


def call(args: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    command = typer.main.get_command(app)
    return guarded(lambda: command.main(list(args), prog_name="gradwire", standalone_mode=False))


def main() -> None:
    """The entry point of the ``gradwire`` script."""
    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    main()
