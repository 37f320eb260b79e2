"""Bytes through every layer of a network.

Examples:
    gradwire bench wire --hosts netns --workers 4 --plot wire.png
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from gradwire.bench.hosts.choice import HostKind, choose, rate_for
from gradwire.bench.hosts.training import Trainer
from gradwire.bench.networks import MNIST
from gradwire.bench.outputs import JsonFile, Outputs, PlotFile
from gradwire.bench.waterfall import Waterfall, waterfall
from gradwire.bench.waterfall_plot import draw
from gradwire.bench.waterfall_table import print_waterfalls
from gradwire.common.training.config import load_config
from gradwire.deploy.preflight import check
from gradwire.deploy.processes.events import inbox_with_signals
from gradwire.deploy.tables import print_plain, wide_console

CODECS = (
    "float32",
    "qsgd(levels=1, coding=fixed)",
    "ratq",
    "simq_plus(repeats=100, coding=l1_ball)",
    "cross_polytope(repeats=100)",
)


def wire(
    hosts: Annotated[HostKind, typer.Option(help="Network namespaces or containers.")] = HostKind.NETNS,
    codec: Annotated[list[str] | None, typer.Option(help="Codec; may be repeated [five of them]")] = None,
    task: Annotated[str, typer.Option(help="Task to train.")] = f"synthetic({MNIST})",
    workers: Annotated[int, typer.Option(help="Hosts, each with one worker.", min=1)] = 4,
    rounds: Annotated[int, typer.Option(help="Rounds to measure.", min=1)] = 10,
    downlink: Annotated[str, typer.Option(help="What the server sends after a round.")] = "auto",
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 0.001,
    rate: Annotated[
        str | None, typer.Option(help="Rate of each worker's link, both ways, e.g. 10mbit.")
    ] = None,
    server_rate: Annotated[str | None, typer.Option(help="Rate of the server's link.")] = None,
    plaintext: Annotated[bool, typer.Option("--plaintext", help="Do without TLS.")] = False,
    image: Annotated[
        str | None, typer.Option(help="Image of the containers, instead of building this checkout's.")
    ] = None,
    json: JsonFile = None,
    plot: PlotFile = None,
) -> None:
    """Train with one server and N workers, each on its own host, and follow the bytes through every layer.

    Each codec is trained twice, for one round and for --rounds more: the difference is the cost of those rounds
    alone. Fails when payload bits, payload bytes or protobuf bytes are not those predicted.
    """
    outputs = Outputs(json, plot)
    codecs, common = codec or CODECS, {"task": task, "downlink": downlink, "lr": lr, "evaluate_every": 0}
    cases = [{**common, "codec": spec} for spec in codecs]
    for case in cases:
        check(load_config({**case, "workers": workers, "rounds": rounds + 1}), ())
    rates = rate_for(hosts, rate), rate_for(hosts, server_rate)
    choice = choose(hosts, image)

    with inbox_with_signals() as inbox:
        trainer = Trainer(choice.network(inbox, *rates), inbox, plaintext)
        rows = [measured(trainer, case, workers, rounds) for case in cases]
    print_waterfalls(wide_console(), rows)
    about = {
        "hosts": hosts.value,
        "task": task,
        "rate": rate,
        "server_rate": server_rate,
        "tls": not plaintext,
    }
    outputs.write({**about, "rows": [row.to_json() for row in rows]}, lambda path: draw(path, rows))


def measured(trainer: Trainer, case: dict[str, Any], workers: int, rounds: int) -> Waterfall:
    """One codec's waterfall, from a training of one round and one of so many more.

    Args:
        trainer: on hosts.
        case: settings of the run, but for workers and rounds.
        workers: hosts of workers.
        rounds: by which the longer training is longer.
    """
    print_plain(Console(stderr=True), f"{case['codec']}: 1 and {rounds + 1} rounds with {workers} workers")
    short = trainer.run({**case, "rounds": 1}, workers)
    return waterfall(trainer.run({**case, "rounds": rounds + 1}, workers), short)
