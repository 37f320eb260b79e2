"""``gradwire run``: from its settings and options to an exit code."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from gradwire.common.errors import GradwireError
from gradwire.common.system.results import ResultFile, to_json
from gradwire.common.training.config import RunConfig
from gradwire.common.weights.forms import weight_file
from gradwire.deploy import models
from gradwire.deploy.exit_codes import FAILED, CommandFailed
from gradwire.deploy.flags import as_flags, given_settings
from gradwire.deploy.options import RunOptions
from gradwire.deploy.preflight import check
from gradwire.deploy.processes.child import PROGRAM, Child
from gradwire.deploy.processes.cores import worker_environment
from gradwire.deploy.processes.events import Inbox, inbox_with_signals
from gradwire.deploy.processes.outcome import Outcome, RunEnded
from gradwire.deploy.processes.plan import Plan, Worker
from gradwire.deploy.processes.supervisor import Supervisor
from gradwire.deploy.report.after_run import write_report
from gradwire.deploy.run.folder import RunFolder, run_folder
from gradwire.deploy.run.live import display_for
from gradwire.deploy.run.placement import processes_for, worker_ranges
from gradwire.deploy.run.report import print_report, rounds_in_words
from gradwire.deploy.run.sites import check_sites, processes_asked, shown_flags, site_flags
from gradwire.deploy.run.view import View
from gradwire.deploy.stored_run import resolve, stored_run
from gradwire.deploy.tables import print_plain
from gradwire.deploy.units import counted, number
from gradwire.server.export import BEST
from gradwire.server.sinks.all import Sinks
from gradwire.worker.records import bytes_per_round

RETRY_FOR = 300  # seconds that workers wait for a server that is being restarted


def launch(settings: Mapping[str, Any], options: RunOptions, program: Sequence[str] = PROGRAM) -> int:
    """Train on this machine and return the exit code.

    Args:
        settings: of the run, those that were given.
        options: of the command.
        program: the command that takes the arguments of ``gradwire server`` and ``gradwire worker``.

    Raises:
        GradwireError: the run cannot be started; nothing was started.
        CommandFailed: the run ended before it was finished.
    """
    options.import_allowed()
    stored = stored_run(options.state_dir)
    config = resolve(settings, stored)
    stored = stored.continued(config) if stored is not None else None
    if options.json is not None and options.json != "-":
        ResultFile(options.json).check()
    if options.report is not None:
        ResultFile(options.report).check()
    if options.save is not None:
        weight_file(options.save).check()
    if options.init is not None:
        models.read_start(options.init)  # what is wrong with it comes before any process
    Sinks(options.targets, warn=lambda _: None)
    check(config, options.allow_task)
    console = Console(file=sys.stderr if options.json == "-" else sys.stdout)
    view = View(config.rounds, config.workers, config.max_epsilon, config.delta, least=config.min_workers)
    with run_folder(options, console) as folder:
        with inbox_with_signals() as inbox:
            processes = processes_for(config.workers, processes_asked(config, options), folder.path, stored)
            check_sites(config, options, processes)
            plan = _plan(config, options, folder.path, processes, inbox, program)
            with display_for(console, view, verbose=options.verbose) as display:
                display.note(
                    f"{config.task}, {config.codec}: {counted(config.workers, 'worker')} in "
                    f"{counted(processes, 'process')}, {rounds_in_words(config.rounds, config.local)}"
                )
                outcome = Supervisor(plan, inbox, display).run()
        return _conclude(outcome, config, options, folder, view, console)


def _plan(
    config: RunConfig, options: RunOptions, folder: Path, processes: int, inbox: Inbox, program: Sequence[str]
) -> Plan:
    environment = worker_environment(processes)
    workers = tuple(
        Worker(
            Child(f"worker-{i}", inbox, program, environment),
            worker_arguments(config, options, folder, i, ids),
            len(ids),
        )
        for i, ids in enumerate(worker_ranges(config.workers, processes))
    )
    return Plan(
        Child("server", inbox, program),
        server_arguments(config, options, folder),
        workers,
        spare=config.workers - config.least,
    )


def server_arguments(config: RunConfig, options: RunOptions, folder: Path) -> tuple[str, ...]:
    """Arguments of ``gradwire server``, its address apart: a resumed run must be given the configuration in its log."""
    start = () if options.init is None else ("--init", str(options.init))
    words = (*as_flags(given_settings(config)), *options.flags, *options.curve_flags)
    return (*words, *start, "--state-dir", str(folder))


def worker_arguments(
    config: RunConfig, options: RunOptions, folder: Path, number: int, ids: range
) -> tuple[str, ...]:
    """Arguments of one ``gradwire worker`` process, the server's address apart.

    Args:
        config: its privacy budget becomes the worker's own.
        options: the code that it allows is passed on, and the data and device of this process.
        folder: of the run; the process keeps its state in a folder inside.
        number: of the process.
        ids: the workers that it hosts.
    """
    name = f"worker-{number}"
    words = ["--name", name, "--workers", f"{ids.start}-{ids.stop - 1}", "--state-dir", str(folder / name)]
    words += ["--retry-for", str(RETRY_FOR), *_allowed(options), *options.flags, *site_flags(options, number)]
    limits = ("max_epsilon", "delta", "report_metrics")
    given = given_settings(config)
    return (*words, *as_flags({limit: given[limit] for limit in limits if limit in given}))


def _allowed(options: RunOptions) -> list[str]:
    return [word for target in options.allow_task for word in ("--allow-task", target)]


def _conclude(
    outcome: Outcome, config: RunConfig, options: RunOptions, folder: RunFolder, view: View, console: Console
) -> int:
    summary = outcome.summary
    if summary is not None:
        written = round(bytes_per_round(folder.path) * (config.cohort or config.workers) / config.workers)
        summary = {**summary, "restarts": outcome.restarts, "record_bytes_per_round": written}
        print_report(console, summary)
        _write_json(summary, options.json)
    unreported = _report(outcome, options, folder, summary, console)
    if summary is not None:
        _save(config, options, folder, summary, console)
    if outcome.failure is not None:
        raise _with_hint(outcome.failure, options, folder.path if folder.kept else None, view)
    if unreported is not None:
        raise unreported
    passed = summary is not None and summary["predicted_equals_measured"] and summary["replicas_agree"]
    return 0 if passed else FAILED


def _report(
    outcome: Outcome,
    options: RunOptions,
    folder: RunFolder,
    summary: Mapping[str, Any] | None,
    console: Console,
) -> CommandFailed | None:
    """Write the page where the options ask for it, of a run that failed too; why it is not there.

    A finished run whose page cannot be written is kept.
    """
    if options.report is None:
        return None
    name = options.state_dir.resolve().name if options.state_dir is not None else Path(options.report).stem
    try:
        write_report(options.report, folder.path, name, summary, str(outcome.failure or ""))
    except GradwireError as error:
        if outcome.failure is not None:
            print_plain(console, f"no report: {error}")
            return None
        folder.kept = True
        again = shlex.join(["gradwire", "report", str(folder.path), "--out", "FILE"])
        return CommandFailed(f"the run has finished, but its report is not written: {error}; try `{again}`")
    print_plain(console, f"report: {options.report}")
    return None


def _save(
    config: RunConfig, options: RunOptions, folder: RunFolder, summary: Mapping[str, Any], console: Console
) -> None:
    """Write the model where the options ask for it; a run whose model cannot be written is kept."""
    if options.save is None:
        return
    best = summary.get("best")
    try:
        lines = models.save(models.read_run(folder.path, BEST if best else models.LAST), options.save)
    except GradwireError as error:
        folder.kept = True
        again = shlex.join(["gradwire", "model", "save", "--state-dir", str(folder.path), "--out", "FILE"])
        raise CommandFailed(
            f"the run has finished, but its model is not saved: {error}; try `{again}`"
        ) from error
    if best:
        lines[0] += f", the best by {best['metric']} ({number(best['value'])})"
    elif config.keep_best:
        lines[0] += f", the last: no evaluation had {config.keep_best}"
    print_plain(console, *lines)


def _with_hint(failure: RunEnded, options: RunOptions, kept: Path | None, view: View) -> CommandFailed:
    """The failure, and how the run can be resumed from the folder that was kept."""
    hint = ""
    if failure.resumable and view.round:
        how = f"`{_resuming(options, kept)}` resumes it" if kept else "pass --state-dir to be able to resume"
        hint = f" after round {view.round} of {view.rounds}; {how}"
    return CommandFailed(f"{failure}{hint}", failure.code, failure.lines)


def _resuming(options: RunOptions, folder: Path) -> str:
    """The command that resumes the run: its settings are in the log, these options are not."""
    words = ["gradwire", "run", "--state-dir", str(folder)]
    words += [] if options.processes is None else ["--processes", str(options.processes)]
    words += [] if options.save is None else ["--save", str(options.save)]
    words += options.curve_flags
    return shlex.join([*words, *_allowed(options), *shown_flags(options)])


def _write_json(summary: Mapping[str, Any], path: str | None) -> None:
    """To standard output, or to a file that is written whole or not at all."""
    text = to_json(summary, indent=2) + "\n"
    if path == "-":
        sys.stdout.write(text)
    elif path is not None:
        ResultFile(path).write(text)
