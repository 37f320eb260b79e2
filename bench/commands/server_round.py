"""A server's round at several model sizes.

Examples:
    gradwire bench server-round --workers 100
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from gradwire.bench.timing import machine
from gradwire.common.codecs import parse
from gradwire.common.downlinks import CommittedRound
from gradwire.common.downlinks.log import Log
from gradwire.common.system.memory import require_fits
from gradwire.common.training.config import RunConfig
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.training.record import RoundRecord, aggregate
from gradwire.deploy.flags import AsJson
from gradwire.server.log.run_log import RunLog
from gradwire.server.outgoing import OutgoingEntry

DIMS = (100_000, 1_000_000, 10_000_000)


def server_round(
    dim: Annotated[
        list[int] | None,
        typer.Option(help="Coordinates of the model; may be repeated [100000, 1000000, 10000000]", min=1),
    ] = None,
    workers: Annotated[int, typer.Option(help="Payloads per round.", min=1)] = 100,
    codec: Annotated[str, typer.Option(help="Codec.")] = "cross_polytope(repeats=100)",
    rounds: Annotated[int, typer.Option(help="Rounds timed.", min=3)] = 50,
    as_json: AsJson = False,
) -> None:
    """Time a server's round with the log downlink at several model sizes: it should not grow with the model."""
    rows = [measure(codec, d, workers, rounds) for d in dim or DIMS]
    if as_json:
        print(json.dumps({"machine": machine(), "rows": rows}, indent=2))
        return
    print(f"{machine()}\n{codec}, {workers} workers, median of {rounds} rounds")
    for row in rows:
        print(
            f"d = {row['dim']:>12,}: {row['round_ms']:7.3f} ms per round, entry of {row['entry_bytes']:,} bytes"
        )


def measure(spec: str, dim: int, workers: int, rounds: int) -> dict[str, Any]:
    """The median milliseconds of a round: unpack, aggregate, step, digest, append durably, serialize the entry.

    Args:
        spec: of the codec.
        dim: coordinates of the model.
        workers: payloads per round.
        rounds: that are timed.
    """
    require_fits(dim, "a gradient")
    codec = parse(spec, dim)
    x = np.random.default_rng(0).standard_normal(dim, dtype=np.float32)
    rng = np.random.default_rng(1)
    payloads = tuple(codec.encode(x, rng) for _ in range(workers))
    model = Model(np.zeros(dim, np.float32), parse_optimizer("sgd(lr=0.1)"))
    assert model.digest >= 0  # taken once in full, as the server does when a run begins
    downlink = Log(codec=codec, seed=0, workers=workers)
    config = RunConfig(task="synthetic(dim=1)", codec=spec, workers=workers, rounds=rounds)
    with tempfile.TemporaryDirectory() as folder, RunLog.create(Path(folder), config, bytes(16)) as log:
        seconds, entry = [], b""
        for round_ in range(rounds):
            start = time.perf_counter()
            entry = _round(downlink, model, log, RoundRecord(round_, tuple(range(workers)), payloads))
            seconds.append(time.perf_counter() - start)
    return {"dim": dim, "round_ms": 1e3 * sorted(seconds)[rounds // 2], "entry_bytes": len(entry)}


def _round(downlink: Log, model: Model, log: RunLog, record: RoundRecord) -> bytes:
    unpacked = list(downlink.codec.unpack_all(record.payloads))
    model.apply(aggregate(downlink.codec, downlink.seed, record, unpacked))
    log.append(record, model.digest)
    return b"".join(OutgoingEntry.build(downlink, CommittedRound(record)).frames)
