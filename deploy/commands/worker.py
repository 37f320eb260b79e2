"""Take part in a run: compute gradients, send their payloads.

Examples:
    gradwire worker --server 127.0.0.1:50051 --name alice --count 2
    gradwire worker --server 127.0.0.1:50051 --data patients.csv --schema schema.toml --option holdout=0.2
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from gradwire.common.errors import ConfigError
from gradwire.common.system.signals import StopSignals
from gradwire.common.training.config import MAX_WORKERS
from gradwire.common.training.settings import check_between
from gradwire.common.transport.address import parse_address, require_protected
from gradwire.common.transport.tls import worker_tls
from gradwire.deploy.external import AllowCodec, AllowOptimizer, PointFiles, import_allowed
from gradwire.deploy.site import site_from
from gradwire.deploy.tls_options import Authority, Insecure, Key, RetryFor
from gradwire.worker.certificates import claim, hold
from gradwire.worker.privacy import Limits, budget_from
from gradwire.worker.process import WorkerOptions, WorkerProcess


def worker(
    server: Annotated[str, typer.Option(help="HOST:PORT of the server.")],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the process, the same across restarts [that of the certificate]"),
    ] = None,
    count: Annotated[int, typer.Option(help="Logical workers to host.", min=1, max=MAX_WORKERS)] = 1,
    workers: Annotated[
        str | None, typer.Option(help="Their ids, e.g. 0-24 or 3,5, instead of any free ones.")
    ] = None,
    retry_for: RetryFor = 60.0,
    allow_task: Annotated[
        list[str] | None,
        typer.Option(help="package.module:factory that the run's task may import; may be repeated."),
    ] = None,
    allow_codec: AllowCodec = None,
    allow_optimizer: AllowOptimizer = None,
    points: PointFiles = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of state that must survive a restart: workers' records, the privacy ledger."
        ),
    ] = None,
    max_epsilon: Annotated[
        float | None, typer.Option(help="Privacy budget of this data, over all runs; kept in --state-dir.")
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(help="Delta at which the budget is accounted for [none: epsilons add up]"),
    ] = None,
    report_metrics: Annotated[
        bool, typer.Option("--report-metrics", help="Send losses and metrics of private runs too.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="File or folder of this site's own data, for tasks on `file` and your own."),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="TOML file of `gradwire data schema`, the same at every site.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="Further option of the site, as test=PATH or holdout=0.2; may be repeated.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device of torch tasks, e.g. cpu, cuda:1 or mps. [auto]")
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of this worker's certificate, key and authority; its common name is the process's name.",
            envvar="GRADWIRE_CERT",
        ),
    ] = None,
    certs: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `gradwire certs`: takes a certificate that no process here uses, and its name."
        ),
    ] = None,
    key: Key = None,
    ca: Authority = None,
    insecure: Insecure = False,
) -> None:
    """Take part in a run: the server sends the task and the codec."""
    logging.basicConfig(format="gradwire worker: %(levelname)s: %(message)s")
    check_between("retry_for", retry_for, 0.0)  # NaN passes the parser of older releases of click
    import_allowed(allow_codec, allow_optimizer, points)
    address = parse_address(server)
    if certs is not None and cert is not None:
        raise ConfigError("--cert names a certificate and --certs takes a free one: pass one of them")
    own = claim(certs) if certs is not None else hold(cert) if cert is not None else None
    tls = worker_tls(ca, own, key)
    if warning := require_protected(address, tls=tls is not None, insecure=insecure):
        _say(warning)
    certified = tls.identity.name if tls is not None and tls.identity is not None else None
    if certs is not None and state_dir is not None and certified is not None:
        state_dir /= certified  # processes that share --certs share --state-dir too
    limits = Limits(budget_from(max_epsilon, delta, state_dir), report_metrics)
    options = WorkerOptions(
        server=address,
        name=name or certified or f"{socket.gethostname()}-{os.getpid()}",
        count=count,
        workers=parse_ids(workers) if workers else (),
        retry_for=retry_for,
        allow_import=frozenset(allow_task or ()),
        state_dir=state_dir,
        limits=limits,
        tls=tls,
        site=site_from(data, schema, option, device),
    )
    with StopSignals() as signals:
        code = asyncio.run(_run(WorkerProcess(options, _say), signals))
    if code:
        raise typer.Exit(code)


def parse_ids(text: str) -> tuple[int, ...]:
    """Worker ids from text: ``0-24``, ``3,5`` or both.

    Raises:
        ConfigError: not ids.
    """
    ids: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ConfigError(f"worker ids {text!r} cannot be read: write 0-24, or 3,5")
        if max(len(first), len(last)) > 9 or max(int(first), int(last or first)) >= MAX_WORKERS:
            raise ConfigError(
                f"worker ids {text[:40]!r} are too large: a run has at most {MAX_WORKERS} workers"
            )
        ids += range(int(first), int(last or first) + 1)
    if not ids or len(ids) != len(set(ids)):
        raise ConfigError(f"worker ids {text!r} are empty or name one twice: write 0-24, or 3,5")
    return tuple(ids)


async def _run(process: WorkerProcess, signals: StopSignals) -> int:
    """Run until the run ends or a signal stops the process; returns the exit code."""
    loop = asyncio.get_running_loop()
    caught: list[int] = []
    task = loop.create_task(process.run())

    def on_signal(signum: int) -> None:
        """Stop in order; at a second signal exit at once, as a gradient may take long and cannot be cancelled."""
        if caught:
            os._exit(128 + signum)
        caught.append(signum)
        if not loop.is_closed():
            loop.call_soon_threadsafe(_stop, process, task, signum)

    # Until the process exits: closing the loop waits for the gradient too.
    signals.handler = on_signal
    with signals.waking(loop):
        try:
            await task
        except asyncio.CancelledError:
            if not caught:
                raise
            return 128 + caught[0]
        signals.work_done = True
    return 0


def _stop(process: WorkerProcess, task: asyncio.Task[None], signum: int) -> None:
    """Stop in order and print how."""
    if process.finished:
        process.stop_reconnecting()
        what = "the run is finished, exiting with the server"
    else:
        task.cancel()
        what = "stopping after the present gradient"
    # Printed last: this fails if the reader of standard error has exited.
    _say(f"{signal.Signals(signum).name}: {what}; a second signal stops at once")


def _say(text: str) -> None:
    print(f"gradwire worker: {text}", file=sys.stderr, flush=True)
