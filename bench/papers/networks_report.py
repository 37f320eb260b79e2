"""Charts, tables and findings of [V] Figure 1, from what ``networks.measure`` returned."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradwire.bench.papers.curves import first_at_most
from gradwire.bench.papers.experiment import Measured
from gradwire.bench.papers.networks import (
    FEW_WORKERS,
    FLOAT32,
    MEASURED_FOR,
    QSGD,
    SYSTEMATIC,
    TOP_SIGNS,
    VQSGD,
    WORKERS,
)
from gradwire.common.errors import TaskError
from gradwire.deploy.report.document import Cell, Chart, Part, Series, Table

POINT = 0.01
FLOAT32_NOTE = (
    f"float32 runs with {FEW_WORKERS} workers that have {WORKERS // FEW_WORKERS} times the rows, which gives the same "
    "mean gradient."
)
TARGETS = (0.3, 0.2, 0.15, 0.1, 0.05)


@dataclass(frozen=True)
class Run:
    """One scheme at one step.

    Attributes:
        errors: on the test set after 0, 1, … rounds.
        bits: of a payload, measured.
        up, down: payload bytes per worker and round.
    """

    scheme: str
    step: float
    codec: str
    errors: list[float]
    bits: float
    up: float
    down: float

    @property
    def printed(self) -> float:
        """The error after the rounds that the paper plots."""
        return self.errors[min(MEASURED_FOR, len(self.errors) - 1)]

    def bytes_to(self, error: float) -> float | None:
        """Payload bytes of a worker in both directions until the error is that low; None if it never is."""
        rounds = first_at_most(self.errors, error)
        return None if rounds is None else rounds * (self.up + self.down)


def runs_of(results: Sequence[Measured], dataset: str) -> list[Run]:
    """The runs on one data set that did not diverge."""
    own = [each for each in results if each.params["dataset"] == dataset and each.result is not None]
    return [_run(each.params["scheme"], each.params["step"], each.result) for each in own]


def _run(scheme: str, step: float, r: Mapping[str, Any]) -> Run:
    return Run(scheme, step, r["codec"], r["values"], r["bits"], r["up"], r["down"])


def best_of(runs: Sequence[Run]) -> dict[str, Run]:
    """Each scheme's run with the lowest error after the printed rounds.

    Raises:
        TaskError: every run of a scheme of the paper diverged.
    """
    schemes = dict.fromkeys(run.scheme for run in runs)
    if lost := [name for name in (VQSGD, QSGD, FLOAT32) if name not in schemes]:
        raise TaskError(f"{', '.join(lost)} diverged at every step: add smaller steps to the grid")
    return {s: min((r for r in runs if r.scheme == s), key=lambda r: r.printed) for s in schemes}


def at_step(runs: Sequence[Run], step: float) -> dict[str, Run]:
    """The runs at one step."""
    return {run.scheme: run for run in runs if run.step == step}


def parts(runs: Sequence[Run], title: str, printed_bits: float) -> Iterator[Part]:
    """What is shown of a data set.

    Args:
        runs: on it.
        title: of the data set and the network.
        printed_bits: what the paper prints for QSGD.
    """
    best = best_of(runs)
    common = at_step(runs, best[VQSGD].step)
    yield finding(best, printed_bits)
    yield _by_round(best, f"{title}: each scheme at its own best step")
    yield _by_round(common, f"{title}: all at step {best[VQSGD].step:g}, the best for vqSGD")
    yield _by_bytes(best, title)
    yield _by_bytes_up(best, title)
    yield _table(best, common, title, printed_bits)
    yield _to_errors(best, title)
    yield _steps(runs, title)


def finding(best: Mapping[str, Run], printed_bits: float) -> str:
    """The comparison that the paper makes, and what is best at vqSGD's bits."""
    vq, qsgd = best[VQSGD], best[QSGD]
    gap = vq.printed - qsgd.printed
    rounds = min(MEASURED_FOR, len(vq.errors) - 1)
    verdict = (
        "within the point that was to be shown"
        if gap <= POINT
        else "so the claim that both converge alike does not hold at best steps"
    )
    text = (
        f"After {rounds} rounds vqSGD's error is {vq.printed:.1%} and QSGD's {qsgd.printed:.1%}: {gap / POINT:+.1f} "
        f"points, {verdict}. vqSGD sends {vq.bits:,.0f} bits per round, QSGD with its fewest levels {qsgd.bits:,.0f} "
        f"(printed: {printed_bits:,.2f}); float32 has {best[FLOAT32].printed:.1%}."
    )
    ours = [best[name] for name in (SYSTEMATIC, TOP_SIGNS) if name in best]
    if ours:
        winner = min(ours, key=lambda run: run.printed)
        text += (
            f" This project's best at vqSGD's bits, {winner.codec} ({winner.bits:,.0f} bits), has "
            f"{winner.printed:.1%}."
        )
    return text


def _by_round(runs: Mapping[str, Run], title: str) -> Chart:
    series = [
        Series(f"{name} (step {r.step:g})", [float(t) for t in range(len(r.errors))], r.errors)
        for name, r in runs.items()
    ]
    return Chart(title, "round", "test error", series)


def _by_bytes(runs: Mapping[str, Run], title: str) -> Chart:
    return Chart(
        f"{title}: error by bytes, both directions",
        "payload bytes that a worker has sent and received",
        "test error",
        [Series(name, *_points(r, r.up + r.down)) for name, r in runs.items()],
        log_x=True,
        note="Codecs of few bytes relay the round's payloads to all workers (log); float32 broadcasts the model.",
    )


def _by_bytes_up(runs: Mapping[str, Run], title: str) -> Chart:
    return Chart(
        f"{title}: error by bytes up, which the paper counts",
        "payload bytes that a worker has sent",
        "test error",
        [Series(name, *_points(r, r.up)) for name, r in runs.items()],
        log_x=True,
    )


def _points(run: Run, each: float) -> tuple[list[float], list[float]]:
    """Bytes and errors from the first round on: a logarithmic axis has no zero."""
    return [t * each for t in range(1, len(run.errors))], run.errors[1:]


def _table(best: Mapping[str, Run], common: Mapping[str, Run], title: str, printed: float) -> Table:
    stated = {VQSGD: "2,060 + 32" if best[VQSGD].bits < 2400 else "2,455 + 32", QSGD: f"{printed:,.2f}"}
    rows: list[list[Cell]] = [
        [
            name,
            r.codec,
            stated.get(name),
            r.bits,
            r.step,
            r.printed,
            len(r.errors) - 1,
            r.errors[-1],
            common[name].printed if name in common else None,
            r.up,
            r.down,
        ]
        for name, r in best.items()
    ]
    columns = [
        "scheme",
        "codec",
        "bits printed",
        "bits measured",
        "best step",
        "error",
        "rounds",
        "error then",
    ]
    columns += ["error at the common step", "bytes up", "bytes down"]
    note = (
        f"Error: after {MEASURED_FOR} rounds, or all if there are fewer. Bytes: payloads of one worker in one round; "
        f"down they are the model, or the {WORKERS} payloads of the round. The paper broadcasts the model whatever "
        "the codec."
    )
    return Table(f"{title}: errors and bits", columns, rows, note=note)


def _to_errors(best: Mapping[str, Run], title: str) -> Table:
    columns = ["scheme", *(f"{target:.0%}" for target in TARGETS)]
    rows: list[list[Cell]] = [
        [name, *(None if (b := r.bytes_to(target)) is None else b / 1000 for target in TARGETS)]
        for name, r in best.items()
    ]
    return Table(f"{title}: kilobytes of a worker, both directions, to a test error", columns, rows)


def _steps(runs: Sequence[Run], title: str) -> Table:
    steps = sorted({run.step for run in runs})
    rows: list[list[Cell]] = []
    for name in dict.fromkeys(run.scheme for run in runs):
        by_step = {run.step: run.printed for run in runs if run.scheme == name}
        rows.append([name, *(by_step.get(step) for step in steps)])
    return Table(
        f"{title}: error after {MEASURED_FOR} rounds by step",
        ["scheme", *(f"{step:g}" for step in steps)],
        rows,
        note="A dash: the run diverged, or was not made.",
    )


def noise_sentence(dim: int) -> str:
    """Why vqSGD's best step is smaller."""
    relative = (dim - 1) / (100 * WORKERS)
    return (
        f"vqSGD's estimate of the mean gradient has {relative:.0f} times the gradient's own square as variance ((d - "
        f"1) / (s N), d = {dim:,}), so its best step is below that of the others. QSGD's variance is (l1 / l2 - 1) / "
        f"N at most, {math.sqrt(dim) / WORKERS:.0f} times the square if all coordinates were equal, and less for a "
        "network's sparse gradient. A single small step for all hides this: the step that the paper used is not "
        "given."
    )
