"""``gradwire run``: a server and its workers on this machine, from one command."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from gradwire.common.training.config import RunConfig
from gradwire.deploy.config_file import take_flags
from gradwire.deploy.run.launch import Request, launch

_DEFAULTS = {field.name: field.default for field in fields(RunConfig) if field.default is not MISSING}


def _setting(name: str, text: str) -> Any:
    """An option of the run itself: a configuration file may give it too, so its default is shown, not set."""
    return Option(help=f"{text} [{_DEFAULTS[name]}]")


def run(
    task: Annotated[str | None, Option(help="Task, e.g. 'mlp(digits, hidden=64)'.")] = None,
    codec: Annotated[str | None, _setting("codec", "Codec, see `gradwire codecs`")] = None,
    workers: Annotated[int | None, _setting("workers", "Logical workers, each with its own data")] = None,
    processes: Annotated[int | None, Option(help="Processes that host them [one a core]")] = None,
    rounds: Annotated[int | None, _setting("rounds", "Rounds")] = None,
    optimizer: Annotated[str | None, _setting("optimizer", "Optimizer")] = None,
    lr: Annotated[float | None, Option(help="Short for --optimizer 'sgd(lr=…)'.")] = None,
    seed: Annotated[int | None, _setting("seed", "Seed of initial model, batches and coins")] = None,
    downlink: Annotated[str | None, _setting("downlink", "Workers get the log, sum, model or auto")] = None,
    quorum: Annotated[int | None, _setting("quorum", "Pushes a round needs at least; 0: all")] = None,
    deadline: Annotated[float | None, _setting("deadline", "Seconds until a quorum is enough")] = None,
    weighting: Annotated[str | None, _setting("weighting", "Weigh workers equal, or by examples")] = None,
    feedback: Annotated[
        str | None, _setting("feedback", "Error feedback for biased codecs: none or error")
    ] = None,
    max_epsilon: Annotated[
        float | None, Option(help="Privacy budget of each worker's data; its ledger enforces it.")
    ] = None,
    delta: Annotated[float | None, Option(help="Account for it at this delta, not as a plain sum.")] = None,
    report_metrics: Annotated[
        bool | None,
        Option("--report-metrics/--no-report-metrics", help="Send losses and metrics of private runs too."),
    ] = None,
    evaluate_every: Annotated[int | None, _setting("evaluate_every", "Rounds between evaluations")] = None,
    digest_every: Annotated[int | None, _setting("digest_every", "Rounds between replica checks")] = None,
    config: Annotated[
        Path | None,
        Option(
            help="TOML file, flags' names as keys; flags override it.", is_eager=True, callback=take_flags
        ),
    ] = None,
    json_to: Annotated[
        str | None, Option("--json", metavar="FILE", help="Write the summary; -: stdout.")
    ] = None,
    state_dir: Annotated[Path | None, Option(help="Folder of the run; a run in it goes on.")] = None,
    keep_state: Annotated[bool, Option("--keep-state", help="Keep the run's temporary folder.")] = False,
    allow_task: Annotated[list[str] | None, Option(help="package.module:factory it may import.")] = None,
    verbose: Annotated[bool, Option("--verbose", "-v", help="Show what the processes write.")] = False,
) -> int:
    """Train on this machine: one server and its worker processes, watched over.

    A process that is killed is started again and the run goes on; Ctrl-C stops all of them. The exit code is 0 only
    if the run finished, every byte was predicted, and all replicas ended with the server's parameters.
    """
    settings = {
        "task": task, "codec": codec, "workers": workers, "rounds": rounds, "lr": lr, "optimizer": optimizer,
        "seed": seed, "downlink": downlink, "quorum": quorum, "deadline": deadline, "weighting": weighting,
        "evaluate_every": evaluate_every, "digest_every": digest_every, "feedback": feedback,
        "max_epsilon": max_epsilon, "delta": delta, "report_metrics": report_metrics,
    }  # fmt: skip
    given = {name: value for name, value in settings.items() if value is not None}
    allowed = tuple(allow_task or ())
    return launch(Request(given, config, processes, allowed, json_to, state_dir, keep_state, verbose))
