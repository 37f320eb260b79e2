"""``gradwire server``: serve one run."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from gradwire.common.system.results import ResultFile, to_json
from gradwire.common.system.signals import StopSignals
from gradwire.common.training.config import RunConfig, load_config
from gradwire.common.transport.address import parse_address, require_protected
from gradwire.common.transport.tls import server_tls
from gradwire.deploy.config_file import take_flags
from gradwire.server.progress import ProgressFormat, reporter
from gradwire.server.serving import Interrupted, open_log, serve
from gradwire.server.summary import failed_check


def server(
    listen: Annotated[
        str, typer.Option(help="HOST:PORT to listen on; port 0 takes a free one.")
    ] = "127.0.0.1:50051",
    state_dir: Annotated[Path, typer.Option(help="Folder of the run's log; an existing run goes on.")] = Path(
        "gradwire-run"
    ),
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file, flags' names as keys; flags override it.", is_eager=True, callback=take_flags
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Task, e.g. 'mlp(digits, hidden=64)'.")] = None,
    codec: Annotated[str | None, typer.Option(help="Codec, e.g. 'cross_polytope(repeats=100)'.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="Optimizer, e.g. 'sgd(lr=0.1)'.")] = None,
    lr: Annotated[float | None, typer.Option(help="Short for --optimizer 'sgd(lr=…)'.")] = None,
    workers: Annotated[int | None, typer.Option(help="Logical workers.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run.")] = None,
    downlink: Annotated[str | None, typer.Option(help="log, sum, model or auto.")] = None,
    quorum: Annotated[int | None, typer.Option(help="Pushes a round needs at least; 0: all.")] = None,
    deadline: Annotated[
        float | None, typer.Option(help="Seconds after which a quorum commits; 0: never.")
    ] = None,
    weighting: Annotated[str | None, typer.Option(help="equal or examples.")] = None,
    feedback: Annotated[str | None, typer.Option(help="none, or error for biased codecs.")] = None,
    max_epsilon: Annotated[
        float | None,
        typer.Option(help="Privacy budget that the run is meant for; workers enforce their own."),
    ] = None,
    delta: Annotated[float | None, typer.Option(help="Delta of that budget.")] = None,
    report_metrics: Annotated[
        bool | None,
        typer.Option("--report-metrics/--no-report-metrics", help="Expect metrics of private runs too."),
    ] = None,
    digest_every: Annotated[int | None, typer.Option(help="Rounds between digest checks.")] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(help="Rounds between evaluations; 0: at the end.")
    ] = None,
    dim: Annotated[
        int | None, typer.Option(help="Coordinates of the model, where the task does not say.", min=1)
    ] = None,
    await_workers: Annotated[
        bool, typer.Option("--await-workers", help="Of a run that is finished, wait for them to hear so.")
    ] = False,
    summary: Annotated[
        str | None, typer.Option(help="Write the run's summary to this file, as JSON.")
    ] = None,
    progress: Annotated[ProgressFormat, typer.Option(help="How to report progress.")] = ProgressFormat.LINES,
    certs: Annotated[
        Path | None, typer.Option(help="Folder of `gradwire certs`: TLS, and workers need certificates.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM file of the server's certificate, instead of --certs.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM file of its key, unless in the same file.")
    ] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="PEM file of the authority that signed the workers' certificates.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow plaintext beyond this machine.")
    ] = False,
) -> None:
    """Serve one run: gather the workers' payloads, fold them, keep the log."""
    address = parse_address(listen, any_port=True)
    tls = server_tls(certs, tls_cert, tls_key, tls_client_ca)
    if warning := require_protected(address, tls=tls is not None, insecure=insecure):
        print(f"gradwire: {warning}", file=sys.stderr)
    flags = {
        "task": task, "codec": codec, "optimizer": optimizer, "lr": lr, "workers": workers, "rounds": rounds,
        "seed": seed, "downlink": downlink, "quorum": quorum, "deadline": deadline, "weighting": weighting,
        "digest_every": digest_every, "evaluate_every": evaluate_every, "feedback": feedback,
        "max_epsilon": max_epsilon, "delta": delta, "report_metrics": report_metrics,
    }  # fmt: skip
    configured = _configured(config, flags)
    if summary is not None:
        ResultFile(summary).check()
    report = reporter(progress)
    try:
        opened = partial(open_log, state_dir, configured)
        with StopSignals() as signals:
            serving = serve(
                opened, address, report, dim=dim, await_workers=await_workers, tls=tls, signals=signals
            )
            result = asyncio.run(serving)
    except Interrupted as stop:
        print(f"gradwire: {stop}", file=sys.stderr)
        raise typer.Exit(stop.exit_code) from stop
    report({"event": "finished", "summary": result})
    if summary is not None:
        ResultFile(summary).write(to_json(result, indent=2) + "\n")
    broken = failed_check(result)
    if broken is not None:
        print(f"gradwire: {broken}", file=sys.stderr)
        raise typer.Exit(1)


def _configured(config: Path | None, flags: dict[str, Any]) -> RunConfig | None:
    """The configuration that was given; None when nothing was, which goes on with the stored run."""
    given = config is not None or any(value is not None for value in flags.values())
    return load_config(config, flags) if given else None
