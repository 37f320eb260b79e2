"""Training over slow and fast links.

Examples:
    gradwire bench time-to-loss --rate 1mbit --rate 10mbit --plot t.svg
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradwire.bench.hosts.choice import HostKind, choose
from gradwire.bench.hosts.rates import Rate, parse_rate
from gradwire.bench.outputs import JsonFile, Outputs, PlotFile
from gradwire.bench.race import CASES, Case, Lap, race, read_case
from gradwire.bench.race_report import draw, print_race
from gradwire.common.errors import ConfigError
from gradwire.common.training.config import load_config
from gradwire.deploy.preflight import check
from gradwire.deploy.processes.events import inbox_with_signals
from gradwire.deploy.tables import wide_console

RATES = ("1mbit", "10mbit", "100mbit", "unshaped")


def time_to_loss(
    case: Annotated[
        list[Path] | None,
        typer.Option(
            help="TOML file of a run, as for `gradwire run --config`; may be repeated [four codecs and downlinks]"
        ),
    ] = None,
    task: Annotated[
        str, typer.Option(help="Task, where the file names none.")
    ] = "mlp(mnist, hidden=100, batch=64)",
    workers: Annotated[int, typer.Option(help="Hosts, each with one worker.", min=1)] = 4,
    target: Annotated[float, typer.Option(help="Mean training loss to reach.")] = 0.45,
    window: Annotated[int, typer.Option(help="Rounds that the loss is averaged over.", min=1)] = 10,
    max_rounds: Annotated[int, typer.Option(help="Rounds after which a case has failed.", min=1)] = 400,
    rate: Annotated[
        list[str] | None,
        typer.Option(
            help="Rate of each worker's link, or `unshaped`; may be repeated [1mbit, 10mbit, 100mbit, unshaped]"
        ),
    ] = None,
    server_rate: Annotated[
        str | None, typer.Option(help="Rate of the server's link, where the workers' are limited.")
    ] = None,
    plaintext: Annotated[bool, typer.Option("--plaintext", help="Do without TLS.")] = False,
    json: JsonFile = None,
    plot: PlotFile = None,
) -> None:
    """Time training to a target loss over slow and fast links between network namespaces.

    The first training of a case finds how many rounds it needs. As every round waits for all workers, the same rounds
    give the same model on every link, which is checked; each link's time is that of exactly those rounds.
    """
    outputs = Outputs(json, plot)
    rates = [_rate(text) for text in rate or RATES]
    servers = None if server_rate is None else parse_rate(server_rate)
    cases = (
        [read_case(path, task) for path in case] if case else [Case(n, {"task": task, **s}) for n, s in CASES]
    )
    _check(cases, workers, max_rounds)
    choice = choose(HostKind.NETNS)

    laps: list[Lap] = []
    with inbox_with_signals() as inbox:
        for one in cases:
            laps += race(
                one, workers, rates, target=target, window=window, max_rounds=max_rounds,
                network=lambda r: choice.network(inbox, r, servers if r is not None else None),
                inbox=inbox, plaintext=plaintext,
            )  # fmt: skip
    print_race(wide_console(), laps, target)
    about = {
        "workers": workers,
        "target": target,
        "window": window,
        "server_rate": server_rate,
        "tls": not plaintext,
    }
    report = {**about, "laps": [lap.to_json() for lap in laps]}
    outputs.write(report, lambda path: draw(path, laps, target))


def _rate(text: str) -> Rate | None:
    return None if text == "unshaped" else parse_rate(text)


def _check(cases: list[Case], workers: int, rounds: int) -> None:
    names = [one.name for one in cases]
    if len(set(names)) != len(names):
        raise ConfigError(f"two cases are named {max(names, key=names.count)}: rename one of their files")
    for one in cases:
        check(load_config({**one.settings, "workers": workers, "rounds": rounds}), ())
