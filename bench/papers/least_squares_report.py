"""Charts, tables and numbers of [V] Figures 2 and 3, from what ``least_squares.measure`` returned."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gradwire.bench.papers.curves import mean_and_deviation
from gradwire.bench.papers.experiment import Measured, Params
from gradwire.bench.papers.least_squares import (
    SAMPLES,
    TARGET,
    TUNING_ROUNDS,
    WORKERS,
    mean_curve,
    predicted_factor,
    rounds_to_target,
)
from gradwire.deploy.report.document import Cell, Chart, Series, Table

VQSGD = "vqSGD"
K = TypeVar("K", bound=Hashable)


@dataclass
class Summary:
    """All runs of one scheme.

    Attributes:
        tuning: pairs of a step and what is left of the distance after the tuning rounds.
        bits: of a payload, measured.
        own: distances by round of each seed at the own best step; ``shared``: at the common step.
    """

    tuning: list[tuple[float, float | None]]
    best: float
    common: float
    bits: float
    own: list[list[float]] = field(default_factory=list)
    shared: list[list[float]] = field(default_factory=list)

    @property
    def mean_rounds(self) -> float | None:
        """To 1 % of the first distance at the own best step; None if no seed gets there."""
        return mean_and_deviation(rounds_to_target(self.own))[0]

    @property
    def rounds(self) -> str:
        """The same with its standard deviation, as text."""
        return rounds_in_words(self.own)

    @property
    def bits_to_target(self) -> float | None:
        """Payload bits of one worker until then."""
        rounds = self.mean_rounds
        return None if rounds is None else rounds * self.bits


def rounds_in_words(runs: Sequence[Sequence[float]]) -> str:
    """Rounds to 1 % of the first distance: mean and standard deviation of the runs."""
    mean, deviation = mean_and_deviation(rounds_to_target(runs))
    if mean is None:
        return f"more than {len(runs[0]) - 1}"
    return f"{mean:.4g}" if deviation is None else f"{mean:.4g} ± {deviation:.2g}"


def merged(results: Sequence[Measured], key: Callable[[Params], K]) -> dict[K, Summary]:
    """The runs of all cases that have a key in common, in the order of the cases."""
    found: dict[K, Summary] = {}
    for each in results:
        r: Any = each.result
        fresh = Summary([(s, left) for s, left in r["tuning"]], r["best"], r["common"], r["bits"])
        summary = found.setdefault(key(each.params), fresh)
        summary.own += r["own"]
        summary.shared += r["shared"]
    return found


def ratio(value: float | None, to: float | None) -> str:
    """A multiple as text.

    >>> ratio(3.0, 12.0)
    '0.25 ×'
    """
    return "— ×" if value is None or to is None else f"{value / to:.2g} ×"


def law_rounds(factor: float) -> int:
    """Rounds until the root of the expected squared distance is at the target, if each multiplies it by that."""
    return math.ceil(2 * math.log(TARGET) / math.log(factor))


def own_curves(rows: Mapping[str, Summary], title: str, *, by_bits: bool = False) -> Chart:
    """Distance by iteration, or by the payload bits that a worker has sent: each scheme at its own best step."""
    series = []
    for name, row in rows.items():
        values = mean_curve(row.own)
        first = 1 if by_bits else 0  # a logarithmic axis has no zero
        x = [t * row.bits if by_bits else float(t) for t in range(first, len(values))]
        series.append(Series(f"{name} (step {row.best:g})", x, values[first:]))
    x_label = "payload bits sent by a worker" if by_bits else "iteration"
    note = "Geometric mean over the seeds."
    return Chart(title, x_label, "|θ* − θ|", series, log_x=by_bits, log_y=True, note=note)


def shared_curves(rows: Mapping[str, Summary], title: str) -> Chart:
    """Distance by iteration at the common step."""
    common = next(iter(rows.values())).common
    series = [Series(name, list(range(len(c))), c) for name, row in rows.items() if (c := _shared(row))]
    note = f"Step {common:g}, the best of the grid for vqSGD with one draw."
    return Chart(title, "iteration", "|θ* − θ|", series, log_y=True, note=note)


def _shared(row: Summary) -> list[float]:
    return mean_curve(row.shared) if row.shared else []


def own_table(dim: int, rows: Mapping[str, Summary], predicted: Mapping[str, tuple[float, float]]) -> Table:
    """Iterations and bits to 1 % of the first distance.

    Args:
        dim: d.
        rows: by scheme.
        predicted: the relative variance of a scheme that has the same for every vector, and its draws.
    """
    columns = [
        "scheme",
        "bits",
        "best step",
        "iterations",
        "sd",
        "seeds there",
        "predicted",
        "kbit to 1 %",
        "at the common step",
    ]
    return Table(
        f"To 1 % of the first distance, d = {dim}",
        columns,
        [_row(dim, name, row, predicted.get(name)) for name, row in rows.items()],
        note="Bits of a payload, its float32 header included. Predicted: by the law of the first round, where the "
        "scheme's variance is the same for every vector.",
    )


def _row(dim: int, name: str, row: Summary, law: tuple[float, float] | None) -> list[Cell]:
    there = rounds_to_target(row.own)
    mean, deviation = mean_and_deviation(there)
    predicted: Cell = None
    if law is not None:
        variance, draws = law
        factor = predicted_factor(dim, variance / draws, row.best, samples=SAMPLES, workers=WORKERS)
        predicted = law_rounds(factor) if factor < 1 else None
    kilobits = None if row.bits_to_target is None else row.bits_to_target / 1000
    common = mean_and_deviation(rounds_to_target(row.shared))[0]
    return [
        name,
        row.bits,
        row.best,
        mean,
        deviation,
        f"{len(there)} of {len(row.own)}",
        predicted,
        kilobits,
        common,
    ]


def tuning_table(rows: Mapping[Any, Summary]) -> Table:
    """What was left of the distance at every step that was tried."""
    steps = sorted({step for row in rows.values() for step, _ in row.tuning}, reverse=True)
    cells = []
    for key, row in rows.items():
        left = dict(row.tuning)
        name = ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)
        cells.append([name, *(left.get(step) for step in steps)])
    return Table(
        f"Share of the distance that is left after {TUNING_ROUNDS} iterations, by step",
        ["d, scheme", *(f"{step:g}" for step in steps)],
        cells,
        note="Steps were tried from the largest down, until a smaller one was worse.",
    )
