"""Training loss against bytes per worker.

Examples:
    gradwire bench bytes-to-loss --plot loss.svg
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from rich.console import Console
from typer import Option

from gradwire.bench.bytes_to_loss import CASES, measured, table_of
from gradwire.bench.bytes_to_loss_plot import draw
from gradwire.bench.outputs import JsonFile, Outputs, PlotFile
from gradwire.deploy.tables import print_plain, wide_console


def bytes_to_loss(
    task: Annotated[str, Option(help="Task to train.")] = "mlp(digits, hidden=256)",
    workers: Annotated[int, Option(help="Workers, each in its own process.", min=1)] = 4,
    target: Annotated[float, Option(help="Mean training loss at which bytes are compared.")] = 0.1,
    json: JsonFile = None,
    plot: PlotFile = None,
) -> None:
    """Train with several codecs and downlinks, and compare the training loss at equal bytes.

    Each case is a `gradwire run` on this machine. Bytes are those of its TCP connections, per worker and in both
    directions, without joining; each round sends as many as every other, so a run's bytes are spread evenly.
    """
    outputs = Outputs(json, plot)
    notes, curves = Console(stderr=True), []
    for case in CASES:
        print_plain(notes, case.title)
        curves.append(measured(case, task, workers))
    print_plain(wide_console(), table_of(curves, target))
    report = {
        "task": task,
        "workers": workers,
        "target": target,
        "curves": [asdict(curve) for curve in curves],
    }
    outputs.write(report, lambda path: draw(path, curves, target, f"{task}, {workers} workers"))
