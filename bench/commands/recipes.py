"""Federated recipes on unevenly dealt data.

Examples:
    gradwire bench recipes --task 'mlp(mnist, hidden=64, batch=32)' --partition 'dirichlet(0.1)'
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gradwire.bench.local_runs import trained
from gradwire.bench.timing import machine
from gradwire.common.system.results import to_json
from gradwire.deploy.flags import AsJson
from gradwire.deploy.planning.fitting import largest_within
from gradwire.deploy.tables import print_plain
from gradwire.worker.tasks import build_task

FEW_BITS = "top_k({n}, coding=set)"


@dataclass(frozen=True)
class Recipe:
    """A pair of optimizers; ``{steps}`` and ``{lr}`` stand for those of the command line."""

    title: str
    local: str
    optimizer: str


_SGD = "optimizer=sgd(lr={lr})"
RECIPES = (
    Recipe("FedAvg", f"local(steps={{steps}}, {_SGD})", "sgd(lr=1.0)"),
    Recipe(
        "FedAdam",
        f"local(steps={{steps}}, {_SGD})",
        "adam(lr=0.01, beta2=0.99, eps=0.001, bias_correction=false, initial=1e-6)",
    ),
    Recipe("FedProx", f"local(steps={{steps}}, {_SGD}, prox=0.1)", "sgd(lr=1.0)"),
    Recipe("SCAFFOLD", f"local(steps={{steps}}, {_SGD}, scaffold=true)", "sgd(lr=1.0)"),
)


def recipes(
    task: Annotated[str, typer.Option(help="Task to train.")] = "mlp(mnist, hidden=64, batch=32)",
    partition: Annotated[str, typer.Option(help="How its data set is dealt.")] = "dirichlet(0.1)",
    workers: Annotated[int, typer.Option(help="Logical workers.", min=1)] = 10,
    rounds: Annotated[int, typer.Option(help="Rounds of every run.", min=2)] = 50,
    steps: Annotated[int, typer.Option(help="Local steps per round.", min=1)] = 50,
    lr: Annotated[float, typer.Option(help="Rate of the local steps.")] = 0.05,
    bits: Annotated[float, typer.Option(help="Bits per coordinate of the codec beside float32.")] = 0.1,
    as_json: AsJson = False,
) -> None:
    """Train with FedAvg, FedAdam, FedProx and SCAFFOLD, and print the accuracy by round.

    Each recipe has one run with float32, and one with top-k and error feedback within the bits given. Each
    run is done twice: at once, and stopped half-way and continued by new processes from its state folder; both must end
    with the same digest.

    Raises:
        AssertionError: they do not.
    """
    dim = build_task(task, workers=workers, seed=0).dim
    few = largest_within(FEW_BITS, dim, int(bits * dim))
    assert few is not None, f"no top_k at {dim} coordinates fits {bits} bits per coordinate"
    settings = {
        "task": task, "partition": partition, "workers": workers, "rounds": rounds,
        "evaluate_every": max(1, rounds // 10),
    }  # fmt: skip
    rows = []
    for recipe in RECIPES:
        for codec, feedback in (("float32", "none"), (few.spec, "error")):
            own = {
                "local": recipe.local.format(steps=steps, lr=lr), "optimizer": recipe.optimizer, "codec": codec,
                "feedback": feedback,
            }  # fmt: skip
            print_plain(Console(stderr=True), f"{recipe.title}, {codec}")
            rows.append(_row(recipe, settings | own))
    about = {"machine": machine(), **settings, "dim": dim, "steps": steps, "lr": lr}
    if as_json:
        print(to_json({**about, "rows": rows}, indent=2))
    else:
        _print(about, rows)


def _row(recipe: Recipe, settings: dict[str, Any]) -> dict[str, Any]:
    at_once, processes = trained(settings, 2), 2
    with tempfile.TemporaryDirectory(prefix="gradwire-") as folder:
        half = settings | {"rounds": settings["rounds"] // 2}
        trained(half, processes, Path(folder))
        continued = trained(settings, processes, Path(folder))
    assert continued["digest"] == at_once["digest"], f"{recipe.title}: a restart led to another model"
    history = [row for row in at_once["history"] if "accuracy" in row]
    return {
        "recipe": recipe.title,
        "codec": at_once["codec"],
        "bits_per_coordinate": at_once["payload_bits_per_push"] / at_once["dim"],
        "accuracy": {row["round"]: row["accuracy"] for row in history},
        "uplink_bytes": at_once["uplink"]["message_bytes"],
        "downlink_bytes": at_once["downlink"]["message_bytes"],
        "digest": at_once["digest"],
    }


def _print(about: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    print(
        f"{about['task']}, {about['partition']}: {about['dim']:,} coordinates, {about['workers']} workers, "
        f"{about['steps']} local steps at {about['lr']:g} per round; accuracy by round\n"
    )
    shown = sorted(rows[0]["accuracy"])
    print("| recipe | bits per coordinate | " + " | ".join(map(str, shown)) + " | MB up | MB down | digest |")
    print("|---|--:|" + "--:|" * (len(shown) + 2) + "---|")
    for row in rows:
        accuracy = " | ".join(f"{row['accuracy'][round_]:.3f}" for round_ in shown)
        print(
            f"| {row['recipe']} | {row['bits_per_coordinate']:.3g} | {accuracy} | {row['uplink_bytes'] / 1e6:.2f} "
            f"| {row['downlink_bytes'] / 1e6:.2f} | {row['digest']} |"
        )
