"""What ``run.step()`` costs a training loop.

Examples:
    gradwire bench join --dim 795010
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer

from gradwire.bench.local_runs import trained
from gradwire.bench.timing import conditions
from gradwire.common.system.results import to_json
from gradwire.deploy.flags import AsJson
from gradwire.deploy.processes.child import PROGRAM
from gradwire.worker.join import join as join_run

STEPS = 20_000  # between two exchanges, to time one of them
CODECS = ("float32", "drive", "cross_polytope(repeats=100)")


def join(
    dim: Annotated[int, typer.Option(help="Coordinates of the model.", min=1)] = 795_010,
    rounds: Annotated[int, typer.Option(help="Rounds of every run.", min=3)] = 60,
    codec: Annotated[
        list[str] | None,
        typer.Option(help="Codec of a row; may be repeated [float32, drive, cross_polytope]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What a step and an exchange cost a training loop.

    A step between exchanges is timed over many. An exchange, the update out and the next model in, is set beside a
    round of ``gradwire worker`` on random gradients with the same codec and size: the difference is what the wire
    process, its sockets and the shared memory add.
    """
    rows = [_row(dim, spec, rounds) for spec in codec or CODECS]
    about = {**conditions(), "dim": dim, "rounds": rounds}
    if as_json:
        print(to_json({**about, "rows": rows}, indent=2))
        return
    print(f"{dim:,} coordinates, one site, {rounds} rounds\n")
    print("| codec | step, µs | exchange, ms | round of a worker, ms | ratio |\n|---|--:|--:|--:|--:|")
    for row in rows:
        print(
            f"| {row['codec']} | {row['step_us']:.2f} | {row['exchange_ms']:.2f} | {row['worker_ms']:.2f} "
            f"| {row['ratio']:.2f} |"
        )


def _row(dim: int, codec: str, rounds: int) -> dict[str, Any]:
    step, exchange = _joined(dim, codec, rounds)
    settings = {
        "task": f"synthetic({dim})",
        "codec": codec,
        "workers": 1,
        "rounds": rounds,
        "optimizer": "sgd(lr=1.0)",
    }
    worker = 1e3 / trained(settings, 1)["rounds_per_second"]
    return {
        "codec": codec, "step_us": step, "exchange_ms": exchange, "worker_ms": worker, "ratio": exchange / worker,
    }  # fmt: skip


def _joined(dim: int, codec: str, rounds: int) -> tuple[float, float]:
    """Microseconds of a step between exchanges, milliseconds of an exchange."""
    with tempfile.TemporaryDirectory(prefix="gradwire-") as folder:
        server = subprocess.Popen(
            (
                *PROGRAM, "server", "--task=own", f"--codec={codec}", "--workers=1", f"--rounds={rounds}",
                "--listen=127.0.0.1:0", f"--state-dir={Path(folder) / 'run'}", "--progress=json",
            ),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert server.stdout is not None
        address = json.loads(server.stdout.readline())["address"]
        model = {"w": np.zeros(dim, np.float32)}
        took = []
        with join_run(address, model, every=STEPS + 1, progress=False) as run:
            loss = np.float32(0.5)
            began = time.perf_counter()
            for _ in range(STEPS):
                run.step(loss=loss, examples=32)
            step = (time.perf_counter() - began) / STEPS
            run.every = 1
            while not run.finished:
                model["w"] -= np.float32(1e-3)
                began = time.perf_counter()
                for _ in run.batches((None,)):
                    run.step(loss=loss)
                    break
                took.append(time.perf_counter() - began)
        server.communicate()
    if server.returncode:
        sys.exit(server.returncode)
    return 1e6 * step, 1e3 * median(took[1:])
