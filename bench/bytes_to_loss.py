"""The training loss against the bytes that each worker sent and received."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from gradwire.bench.local_runs import trained
from gradwire.deploy.tables import plain_table
from gradwire.deploy.units import human


@dataclass(frozen=True)
class Case:
    """A codec with a downlink.

    The learning rate is that of 0.2, 0.5, 1 and 2 with the fewest rounds to a training loss of 0.1 in the default task,
    so that no case is held back by its step.
    """

    title: str
    codec: str
    downlink: str
    lr: float
    rounds: int


CASES = (
    Case("float32, model sent back", "float32", "model", 2.0, 80),
    Case("QSGD in 4 bits, log", "qsgd(levels=7, coding=fixed)", "log", 1.0, 80),
    Case("SimQ+ (200 draws), model sent back", "simq_plus(repeats=200, coding=l1_ball)", "model", 0.5, 300),
    Case("SimQ+ (200 draws), log", "simq_plus(repeats=200, coding=l1_ball)", "log", 0.5, 300),
)


@dataclass(frozen=True)
class Curve:
    """One run.

    Attributes:
        bytes_per_round: TCP bytes per worker, both directions; message bytes where the kernel does not count.
        losses: the mean training loss at the parameters that each round began with.
        metrics: of the last parameters, on the test set.
    """

    case: Case
    bytes_per_round: float
    losses: tuple[float, ...]
    metrics: dict[str, float]

    def bytes_to(self, target: float) -> float | None:
        """Bytes per worker until the loss first was at most ``target``; None if it never was.

        >>> Curve(CASES[0], 10.0, (2.0, 1.5, 0.9), {}).bytes_to(1.0)
        20.0
        """
        reached = (i for i, loss in enumerate(self.losses) if loss <= target)
        first = next(reached, None)
        return None if first is None else first * self.bytes_per_round


def measured(case: Case, task: str, workers: int) -> Curve:
    """Train once, with each worker in a process of its own.

    Raises:
        TaskError: the run failed; its output is on standard error.
    """
    settings = {
        "task": task, "codec": case.codec, "downlink": case.downlink, "optimizer": f"sgd(lr={case.lr!r})",
        "rounds": case.rounds, "workers": workers, "evaluate_every": 0,
    }  # fmt: skip
    return curve_of(case, trained(settings, workers))


def curve_of(case: Case, summary: dict[str, Any]) -> Curve:
    """The losses and bytes in a run's summary."""
    both = (summary["uplink"], summary["downlink"])
    layer = "message_bytes" if any(way["tcp_bytes"] is None for way in both) else "tcp_bytes"
    total = sum(way[layer] for way in both)
    losses = tuple(row["loss"] for row in summary["history"] if row["loss"] is not None)
    each = total / summary["workers"] / summary["rounds"]
    return Curve(case, each, losses, summary["metrics"])


def table_of(curves: Sequence[Curve], target: float) -> Table:
    """A row for each case."""
    titles = ("lr", "per round", "rounds", "total", "last loss", "accuracy", f"to loss {target:g}")
    table = plain_table("case", *titles)
    for curve in curves:
        needed, total = curve.bytes_to(target), curve.bytes_per_round * curve.case.rounds
        table.add_row(
            curve.case.title,
            f"{curve.case.lr:g}",
            human(curve.bytes_per_round, "B"),
            str(curve.case.rounds),
            human(total, "B"),
            f"{curve.losses[-1]:.3g}",
            f"{curve.metrics['accuracy']:.3f}" if "accuracy" in curve.metrics else "—",
            "—" if needed is None else human(needed, "B"),
        )
    return table
