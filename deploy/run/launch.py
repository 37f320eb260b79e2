"""From what the command line of ``gradwire run`` asked for to an exit code."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from gradwire.common.system.results import ResultFile, to_json
from gradwire.common.training.config import RunConfig
from gradwire.deploy.exit_codes import FAILED, complain
from gradwire.deploy.preflight import check, resolve
from gradwire.deploy.run.hosting import processes_for, shares, sizes
from gradwire.deploy.run.live import display_for
from gradwire.deploy.run.processes import PROGRAM
from gradwire.deploy.run.report import print_report
from gradwire.deploy.run.supervisor import Failure, Outcome, Plan, Supervisor
from gradwire.deploy.run.view import View
from gradwire.deploy.units import counted

RETRY_FOR = 300  # seconds that workers wait for a server that is being started again


@dataclass(frozen=True)
class Request:
    """What the command line asked for.

    Attributes:
        flags: the run's own settings that were given, by name.
        processes: None for one a core, or as many as the run began with where that matters.
        json_to: a file, ``-`` for standard output, or None.
        state_dir: None for a temporary folder.
        program: the command that takes the arguments of ``gradwire server`` and ``gradwire worker``.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    config_file: Path | None = None
    processes: int | None = None
    allow_task: tuple[str, ...] = ()
    json_to: str | None = None
    state_dir: Path | None = None
    keep_state: bool = False
    verbose: bool = False
    program: tuple[str, ...] = PROGRAM


def launch(request: Request) -> int:
    """Carry out a request and return the exit code.

    Raises:
        GradwireError: the request cannot be carried out; nothing was started.
    """
    config = resolve(request.config_file, request.flags, request.state_dir)
    if request.json_to is not None and request.json_to != "-":
        ResultFile(request.json_to).check()
    check(config, request.allow_task)
    console = Console(file=sys.stderr if request.json_to == "-" else sys.stdout)
    with _state_dir(request, console) as folder:
        workers = worker_arguments(request, config, folder)
        plan = Plan(
            (*server_arguments(request), "--state-dir", str(folder)),
            workers,
            request.program,
            hosted=tuple(sizes(config.workers, len(workers))),
            spare=config.workers - config.needed,
        )
        view = View(config.rounds, config.workers, config.max_epsilon, config.delta)
        with display_for(console, view, verbose=request.verbose) as display:
            display.note(
                f"{config.task}, {config.codec}: {counted(config.workers, 'worker')} in "
                f"{counted(len(workers), 'process')}, {counted(config.rounds, 'round')}"
            )
            outcome = Supervisor(plan, display).run()
    kept = folder if request.state_dir is not None or request.keep_state else None
    return _conclude(outcome, request, kept, view, console)


def server_arguments(request: Request) -> tuple[str, ...]:
    """The run's settings for the server, just as they were given here: it decides whether they fit a stored run."""
    config = ("--config", str(request.config_file)) if request.config_file is not None else ()
    return (*config, *(_as_flag(name, value) for name, value in request.flags.items()))


def _as_flag(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={value}"


def privacy_arguments(config: RunConfig) -> tuple[str, ...]:
    """The worker's own limits, as this machine's user set them for the run."""
    budget = [f"--max-epsilon={config.max_epsilon!r}"] if config.max_epsilon else []
    budget += [f"--delta={config.delta!r}"] if config.delta else []
    return (*budget, *(["--report-metrics"] if config.report_metrics else []))


def worker_arguments(request: Request, config: RunConfig, folder: Path) -> tuple[tuple[str, ...], ...]:
    """One tuple of arguments a worker process.

    Raises:
        ConfigError: more processes than workers, or none, or not those that have what the workers need to go on.
    """
    processes = processes_for(config.workers, request.processes, folder)
    allowed = [word for target in request.allow_task for word in ("--allow-task", target)]
    return tuple(
        (
            "--name",
            f"worker-{i}",
            "--workers",
            ids,
            "--state-dir",
            str(folder / f"worker-{i}"),
            "--retry-for",
            str(RETRY_FOR),
            *allowed,
            *privacy_arguments(config),
        )
        for i, ids in enumerate(shares(config.workers, processes))
    )


@contextmanager
def _state_dir(request: Request, console: Console) -> Iterator[Path]:
    if request.state_dir is not None:
        yield request.state_dir
        return
    folder = Path(tempfile.mkdtemp(prefix="gradwire-"))
    try:
        yield folder
    finally:
        if request.keep_state:
            console.print(f"the run is kept in {folder}", soft_wrap=True, markup=False, highlight=False)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _conclude(outcome: Outcome, request: Request, kept: Path | None, view: View, console: Console) -> int:
    summary = outcome.summary
    if summary is not None:
        summary = {**summary, "restarts": outcome.restarts}
        print_report(console, summary)
        _write_json(summary, request.json_to)
    if outcome.failure is not None:
        return _tell(outcome.failure, request, kept, view)
    passed = summary is not None and summary["predicted_equals_measured"] and summary["replicas_agree"]
    return 0 if passed else FAILED


def _tell(failure: Failure, request: Request, kept: Path | None, view: View) -> int:
    """Say why the run ended, and how it can go on from the folder that was kept."""
    for line in failure.lines:
        print(f"  {line}", file=sys.stderr)
    hint = ""
    if failure.can_go_on and view.round:
        how = f"`{_resuming(request, kept)}` goes on" if kept else "pass --state-dir to be able to go on"
        hint = f" after round {view.round} of {view.rounds}; {how}"
    complain(f"{failure.message}{hint}")
    return failure.code


def _resuming(request: Request, folder: Path) -> str:
    """The command that goes on: what the log does not hold, and the workers' own folders need, is said again."""
    words = ["gradwire", "run", "--state-dir", str(folder)]
    words += [] if request.processes is None else ["--processes", str(request.processes)]
    words += [word for target in request.allow_task for word in ("--allow-task", target)]
    return shlex.join(words)


def _write_json(summary: Mapping[str, Any], json_to: str | None) -> None:
    """To standard output, or to a file that is written whole or not at all."""
    text = to_json(summary, indent=2) + "\n"
    if json_to == "-":
        sys.stdout.write(text)
    elif json_to is not None:
        ResultFile(json_to).write(text)
