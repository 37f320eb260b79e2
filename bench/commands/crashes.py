"""Random kills of joined programs and the server.

Examples:
    gradwire bench crashes --kills 200 --sites 4
    gradwire bench crashes --kills 50 --sites 6 --cohort 2 --codec 'top_k(8)' --feedback error
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gradwire.bench.crashes import Crashes, CrashTest
from gradwire.bench.timing import machine
from gradwire.common.system.results import to_json
from gradwire.deploy.flags import AsJson
from gradwire.deploy.tables import print_plain


def crashes(
    kills: Annotated[int, typer.Option(help="Kills in all.", min=1)] = 200,
    sites: Annotated[int, typer.Option(help="Joined programs.", min=1)] = 4,
    every: Annotated[int, typer.Option(help="Rounds from one kill to the next, at least.", min=1)] = 3,
    dim: Annotated[int, typer.Option(help="Coordinates of the model.", min=1)] = 200,
    codec: Annotated[str, typer.Option(help="Codec of the run.")] = "float32",
    cohort: Annotated[int, typer.Option(help="Sites that are drawn in each round; 0: all.", min=0)] = 0,
    feedback: Annotated[str, typer.Option(help="Error feedback: none or error.")] = "none",
    seed: Annotated[int, typer.Option(help="Seed of what is killed when.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Random kills of joined programs and the server.

    Programs, their wire processes and the server are killed; then what remains is checked.

    Raises:
        AssertionError: a round was lost, or an update counted twice.
    """
    options = (f"--codec={codec}", f"--feedback={feedback}", *([f"--cohort={cohort}"] if cohort else []))
    plan = Crashes(sites=sites, kills=kills, every=every, dim=dim, seed=seed, options=options)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="gradwire-") as folder:
        outcome = CrashTest(plan, Path(folder), lambda text: print_plain(console, text)).run()
    if as_json:
        plain = {**vars(outcome), "kills": dict(outcome.kills), "ends": dict(outcome.ends)}
        print(to_json({"machine": machine(), **plain}, indent=2))
        return
    print(f"{sum(outcome.kills.values())} kills in {outcome.rounds} rounds, {outcome.seconds:.0f} s")
    for name, counts in (("killed", outcome.kills), ("ended", outcome.ends)):
        for what, count in sorted(counts.items()):
            print(f"  {name}: {count:4} {what}")
    print(f"no round was lost: {outcome.journaled} models that sites were given agree with the log")
    print(f"no update was counted twice: {outcome.rounds} rounds, all payloads differ")
